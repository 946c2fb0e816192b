//! The servers that are compared: how each is installed, started and asked.
//!
//! Each has a file of its own with the same parts. A right answer is one whose text is the
//! model server's; of Parlor and Flowise it must name the session that asked, too.

mod floor;
mod flowise;
mod install;
mod langflow;
mod litellm;
mod parlor;
mod portkey;

use std::path::Path;
use std::process::Command;

use crate::load::Shape;
use crate::turns::programs::Programs;

/// The system prompt of the chatflow, which the stateless servers are sent each time.
const SYSTEM_PROMPT: &str =
    "You are the friendly voice of a small library. Answer in one sentence.";

/// The name under which the run signs in as operator.
pub const OPERATOR_NAME: &str = "bench";

/// What one start of a server is given.
#[derive(Clone, Debug)]
pub struct Seat<'a> {
    /// The folder that it is installed in.
    pub cache: &'a Path,
    /// An empty folder for its data.
    pub data: &'a Path,
    /// The port to listen on, on loopback.
    pub port: u16,
    /// The model server, `http://HOST:PORT`.
    pub upstream: &'a str,
    /// Workers, if it can have more than one.
    pub workers: u32,
    /// The operator's password.
    pub password: &'a str,
}

/// Puts a flow into a server that runs already, and tells how it is asked then.
pub type MakeShape = Box<dyn Fn() -> anyhow::Result<Shape>>;

/// How a server is asked.
pub enum Door {
    /// A prediction of the measured chatflow, which is put in first.
    Flow,
    /// A POST to this path, which takes anything.
    Path(&'static str),
    /// A request of its own.
    Shaped(Shape),
    /// A request that is known when the server runs.
    Made(MakeShape),
}

/// A server that can be compared.
pub trait Rival {
    /// As `--only` names it.
    fn name(&self) -> &'static str;
    /// As tables name it.
    fn title(&self) -> &'static str;
    /// Whether it keeps no sessions, and so does less than the others.
    fn is_stateless(&self) -> bool {
        false
    }
    /// Whether it can stream.
    fn streams(&self) -> bool {
        true
    }
    /// How many workers it has and how that was set.
    fn setting(&self, workers: u32) -> String;
    /// Brings it into its folder, if it is not there already.
    fn install(&self, _cache: &Path) -> anyhow::Result<()> {
        Ok(())
    }
    /// Its version.
    fn version(&self, cache: &Path) -> String;
    /// The command that starts it.
    fn command(&self, seat: &Seat<'_>) -> anyhow::Result<Command>;
    /// How it is asked.
    fn door(&self, seat: &Seat<'_>) -> Door;
}

/// All of them, in the order of the tables.
pub fn all(programs: &Programs) -> Vec<Box<dyn Rival>> {
    vec![
        Box::new(parlor::Parlor::new(programs)),
        Box::new(flowise::Flowise),
        Box::new(langflow::Langflow),
        Box::new(litellm::LiteLlm),
        Box::new(portkey::Portkey),
        Box::new(floor::Floor::new(programs)),
    ]
}

/// A request in OpenAI's format for a stateless server.
fn completions(headers: &[(&str, String)]) -> Door {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    let body = format!(
        r#"{{"model":"bench-model","stream":{{stream}},"temperature":0.7,"messages":[{{"role":"system","content":"{SYSTEM_PROMPT}"}},{{"role":"user","content":{{question}}}}],"user":"{{session}}"}}"#
    );
    Door::Shaped(Shape { path: "/v1/chat/completions".into(), headers, body })
}
