//! The command line. Commands talk to the running server through the socket in
//! the data folder, or to `--url` with `--key`; where no server runs they open
//! the folder themselves and use the same routes.

mod ask;
mod backup;
mod chat;
mod check;
mod client;
mod events;
mod export;
mod health;
mod import;
mod import_messages;
mod keys;
mod migrate;
mod nodes;
mod progress;
mod restore;
mod serve;
mod top;
mod upsert;
mod vectors;
mod verify;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{DataDir, ServeArgs};

/// Serves exported Flowise chatflows over Flowise's own REST API.
#[derive(Debug, Parser)]
#[command(name = "parlor", version)]
pub struct Cli {
    #[command(flatten)]
    data: DataDir,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (also what `parlor` alone does)
    Serve(Box<ServeArgs>),
    /// Say whether a running server takes requests
    Health(health::HealthArgs),
    /// Watch what a running server has to do
    Top(top::TopArgs),
    /// Store exported chatflows
    Import(import::ImportArgs),
    /// Move in from Flowise
    Migrate(migrate::MigrateArgs),
    /// Make, list, rotate, import and revoke API keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Talk to a chatflow in the terminal
    Chat(chat::ChatArgs),
    /// Ask a chatflow one question
    Ask(ask::AskArgs),
    /// Fill the vector stores of a chatflow with files
    Upsert(upsert::UpsertArgs),
    /// Look after what upserts wrote
    #[command(subcommand)]
    Vectors(vectors::VectorsCommand),
    /// Say whether exported chatflows can run here
    Check(check::CheckArgs),
    /// Write messages as lines of JSON
    Export(export::ExportArgs),
    /// Store messages that were exported; what is there already is skipped
    ImportMessages(import_messages::ImportMessagesArgs),
    /// Copy everything into a folder, also while the server runs
    Backup(backup::BackupArgs),
    /// Make a new data folder from a backup
    Restore(restore::RestoreArgs),
    /// Look whether the data, or a backup, is whole; changes nothing
    Verify(verify::VerifyArgs),
    /// List the nodes that are supported
    Nodes(nodes::NodesArgs),
}

impl Cli {
    /// Reads arguments, the first of which is the program's name. What every
    /// command takes may stand before the command; an option of the server
    /// there would be lost without a word, so it is refused.
    ///
    /// # Errors
    /// What clap says, ready to be shown; help and version are such errors too.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(args)?;
        if let Some((name, _)) = matches.subcommand() {
            let own = command.get_arguments().filter(|arg| !arg.is_global_set());
            let lost = own.filter_map(|arg| arg.get_long().map(|long| (arg.get_id(), long))).find(
                |(id, _)| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine),
            );
            if let Some((_, long)) = lost {
                let message = format!(
                    "--{long} is an option of the server: write it after `serve`, not before `{name}`"
                );
                return Err(command.error(ErrorKind::ArgumentConflict, message));
            }
        }
        Self::from_arg_matches(&matches)
    }
}

/// Runs the command of the arguments. Returns the exit code.
///
/// # Errors
/// One sentence for the terminal.
pub fn run(cli: Cli) -> anyhow::Result<u8> {
    let data_dir = cli.data.path();
    let system = actix::System::new();
    match cli.command {
        None => system.block_on(serve::run(data_dir, cli.serve)),
        Some(Command::Serve(args)) => system.block_on(serve::run(data_dir, *args)),
        Some(Command::Health(args)) => system.block_on(health::run(data_dir, args)),
        Some(Command::Top(args)) => system.block_on(top::run(data_dir, args)),
        Some(Command::Import(args)) => system.block_on(import::run(data_dir, args)),
        Some(Command::Migrate(args)) => system.block_on(migrate::run(data_dir, args)),
        Some(Command::Keys(command)) => system.block_on(keys::run(data_dir, command)),
        Some(Command::Chat(args)) => system.block_on(chat::run(data_dir, args)),
        Some(Command::Ask(args)) => system.block_on(ask::run(data_dir, args)),
        Some(Command::Upsert(args)) => system.block_on(upsert::run(data_dir, args)),
        Some(Command::Vectors(command)) => system.block_on(vectors::run(data_dir, command)),
        Some(Command::Export(args)) => system.block_on(export::run(data_dir, args)),
        Some(Command::ImportMessages(args)) => {
            system.block_on(import_messages::run(data_dir, args))
        }
        Some(Command::Backup(args)) => system.block_on(backup::run(data_dir, args)),
        Some(Command::Restore(args)) => restore::run(&data_dir, &args),
        Some(Command::Verify(args)) => system.block_on(verify::run(data_dir, args)),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Nodes(args)) => nodes::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_data_folder_may_stand_before_or_after_the_command() {
        for line in ["parlor --data-dir d keys list", "parlor keys list --data-dir d"] {
            assert_eq!(read(line).unwrap().data.path(), std::path::Path::new("d"), "{line}");
        }
        assert_eq!(read("parlor --port 4000").unwrap().serve.port, 4000);
        let Some(Command::Serve(serve)) = read("parlor serve --port 4000").unwrap().command else {
            panic!("the server")
        };
        assert_eq!(serve.port, 4000);
    }

    #[test]
    fn an_option_of_the_server_before_another_command_is_refused() {
        for line in ["parlor --port 4000 keys list", "parlor --port 4000 serve"] {
            let error = read(line).unwrap_err();
            assert!(error.to_string().contains("--port is an option of the server"), "{error}");
        }
    }
}
