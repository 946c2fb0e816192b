//! Where a node's database is: what is typed into it, else Flowise's
//! environment variables.

use super::{Server, table_name};
use crate::error::NodeError;
use crate::inputs::Inputs;

const DEFAULT_PORT: u16 = 5432;

/// The environment variables of one node.
pub(crate) struct Variables {
    pub(crate) host: &'static str,
    pub(crate) database: &'static str,
    pub(crate) port: &'static str,
    pub(crate) ssl: &'static str,
    pub(crate) table: &'static str,
}

impl Variables {
    /// The table as it is typed, or its default.
    pub(crate) fn typed_table(&self, inputs: &Inputs, default: &str) -> String {
        setting(inputs, "tableName", self.table).unwrap_or_else(|| default.to_owned())
    }

    /// The table's name in the database.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for what is no name.
    pub(crate) fn table(&self, inputs: &Inputs, default: &str) -> Result<String, NodeError> {
        let typed = self.typed_table(inputs, default);
        table_name(&typed).map_err(|problem| inputs.bad("tableName", problem))
    }
}

impl Server {
    /// The database of a node.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for what is missing or no address;
    /// [`NodeError::MissingCredential`] without a user, or with one from the
    /// environment for an address that is not from there.
    pub(crate) fn read(inputs: &Inputs, variables: &Variables) -> Result<Self, NodeError> {
        let server = Self {
            host: required(inputs, "host", variables.host)?,
            port: port(inputs, variables.port)?,
            database: required(inputs, "database", variables.database)?,
            user: inputs.secret("user")?,
            password: inputs.optional_secret("password").map(|(password, _)| password),
            tls: tls(inputs, variables.ssl)?,
        };
        let from_environment = inputs.optional_secret("user").is_some_and(|(_, from)| from);
        if from_environment && !is_of_environment(&server, variables) {
            // Whoever imports a flow must not be able to send the password elsewhere.
            return Err(NodeError::MissingCredential(format!(
                "{} ({}) names a database of its own, so it needs a PostgresApi credential of its \
                 own: the user in the environment is only for the host in {}",
                inputs.label, inputs.id, variables.host
            )));
        }
        Ok(server)
    }
}

fn is_of_environment(server: &Server, variables: &Variables) -> bool {
    let host = std::env::var(variables.host).unwrap_or_default();
    let port = std::env::var(variables.port).ok();
    let port = port.map_or(Some(DEFAULT_PORT), |port| port.trim().parse().ok());
    server.host == host.trim() && Some(server.port) == port
}

/// What is typed, else what the environment says.
fn setting(inputs: &Inputs, input: &str, variable: &str) -> Option<String> {
    let typed = inputs.text(input).or_else(|| std::env::var(variable).ok())?;
    Some(typed.trim().to_owned()).filter(|text| !text.is_empty())
}

fn required(inputs: &Inputs, input: &str, variable: &str) -> Result<String, NodeError> {
    setting(inputs, input, variable)
        .ok_or_else(|| inputs.bad(input, format!("is empty; fill it in, or set {variable}")))
}

fn port(inputs: &Inputs, variable: &str) -> Result<u16, NodeError> {
    let Some(typed) = setting(inputs, "port", variable) else { return Ok(DEFAULT_PORT) };
    typed.parse().map_err(|_| inputs.bad("port", "must be a number from 1 to 65535"))
}

fn tls(inputs: &Inputs, variable: &str) -> Result<bool, NodeError> {
    match setting(inputs, "ssl", variable).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(inputs.bad("ssl", "must be true or false")),
    }
}
