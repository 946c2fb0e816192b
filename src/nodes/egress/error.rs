//! Why an address was not fetched, in words that tell no resolved address.

/// Why an address was not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The address must not be fetched; the problem starts with a verb.
    Refused(String),
    /// The other side cannot be reached or breaks off; the problem starts with a verb.
    Broken(String),
    /// The time is over, in seconds.
    Timeout(u64),
    /// The caller left.
    Cancelled,
}

impl FetchError {
    /// What is wrong, to be read behind the address: `could not be reached`.
    pub fn problem(&self) -> String {
        match self {
            Self::Refused(problem) | Self::Broken(problem) => problem.clone(),
            Self::Timeout(seconds) => format!("took longer than {seconds} seconds"),
            Self::Cancelled => "was not awaited: the caller left".to_owned(),
        }
    }
}
