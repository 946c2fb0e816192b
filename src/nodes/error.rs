//! What can go wrong in a node, named where it happens.

use parlor_schemas::{ErrorCode, Fault};

use crate::upstream;

/// An error of a node, built or running.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeError {
    /// An input whose value the node cannot take.
    #[error("{node}: {input} {problem}")]
    BadInput {
        /// Label of the node.
        node: String,
        /// Name of the input.
        input: String,
        /// What is wrong and what to do, starting with a verb: `must be a number`.
        problem: String,
    },
    /// The caller's request cannot be served by this node.
    #[error("{0}")]
    BadRequest(String),
    /// A setting of a known node that Parlor cannot run.
    #[error("{0}")]
    Unsupported(String),
    /// No secret for a node that needs one.
    #[error("{0}")]
    MissingCredential(String),
    /// The provider answered with an error or with nonsense.
    #[error("{provider} answered {status}: {message}")]
    UpstreamStatus {
        /// Name of the provider, as people know it.
        provider: String,
        /// Its HTTP status.
        status: u16,
        /// Its own words, without secrets and shortened.
        message: String,
        /// Its `Retry-After` in seconds.
        retry_after_s: Option<u64>,
    },
    /// The provider could not be reached, broke off, or spoke nonsense.
    #[error("{provider} {problem}")]
    UpstreamBroken {
        /// Name of the provider.
        provider: String,
        /// What happened, starting with a verb.
        problem: String,
    },
    /// The provider took longer than allowed.
    #[error("{provider} did not answer within {seconds} seconds")]
    UpstreamTimeout {
        /// Name of the provider.
        provider: String,
        /// The limit.
        seconds: u64,
    },
    /// The provider's address keeps failing, so it is not asked for a while.
    #[error("{provider} keeps failing and is left alone for now; try again in {retry_after_s} s")]
    UpstreamPaused {
        /// Name of the provider.
        provider: String,
        /// When it may be asked again.
        retry_after_s: u64,
    },
    /// Too much is computed at once; the same request may succeed later.
    #[error("the server reads too much at once; try again in {retry_after_s} seconds")]
    Busy {
        /// When to come again.
        retry_after_s: u64,
    },
    /// The caller left.
    #[error("the caller left")]
    Cancelled,
    /// The stored conversation could not be read.
    #[error("{0}")]
    History(Fault),
    /// What the server keeps beside conversations could not be read or written.
    #[error("{0}")]
    Store(Fault),
}

impl NodeError {
    /// The code that the HTTP border turns into a status.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BadInput { .. } => ErrorCode::InvalidFlow,
            Self::BadRequest(_) => ErrorCode::BadRequest,
            Self::Unsupported(_) => ErrorCode::UnsupportedNode,
            Self::MissingCredential(_) => ErrorCode::MissingCredential,
            Self::UpstreamStatus { status: 429, .. } => ErrorCode::UpstreamLimited,
            Self::UpstreamStatus { .. } | Self::UpstreamBroken { .. } => ErrorCode::UpstreamFailed,
            Self::UpstreamTimeout { .. } => ErrorCode::UpstreamTimeout,
            Self::UpstreamPaused { .. } => ErrorCode::UpstreamPaused,
            Self::Busy { .. } => ErrorCode::Overloaded,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::History(fault) | Self::Store(fault) => fault.code,
        }
    }
}

/// Where an error leaves the nodes it ends what was asked for, and so it is
/// counted here: not at each try, nor where a node takes it as an answer.
impl From<NodeError> for Fault {
    fn from(error: NodeError) -> Self {
        upstream::ERRORS.count(&error);
        let retry_after_s = match &error {
            NodeError::UpstreamStatus { retry_after_s, .. } => *retry_after_s,
            NodeError::UpstreamPaused { retry_after_s, .. } => Some(*retry_after_s),
            NodeError::Busy { retry_after_s } => Some(*retry_after_s),
            NodeError::History(fault) | NodeError::Store(fault) => fault.retry_after_s,
            _ => None,
        };
        Self { code: error.code(), message: error.to_string(), retry_after_s }
    }
}
