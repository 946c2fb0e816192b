//! `parlor serve`.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use parlor_schemas::{ChatflowId, Scope};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::app::Application;
use crate::config::ServeArgs;
use crate::stop::{self, Signals};
use crate::store::{NewKey, Store};
use crate::{example, telemetry};

/// Connections that may wait to be taken. With the 128 of the standard library, a crowd that
/// comes back at once (a proxy after a restart) loses packets and repeats them a second later.
const BACKLOG: i32 = 4096;
/// A file that tells that the example was installed.
pub(super) const EXAMPLE_MARK: &str = "example.installed";

/// Runs a server until a signal stops it.
pub(super) async fn run(data_dir: PathBuf, args: ServeArgs) -> anyhow::Result<u8> {
    let traces = telemetry::init()?;
    raise_open_files();
    let address = (args.host.as_str(), args.port);
    let listener = TcpListener::bind(address).with_context(|| {
        format!(
            "cannot listen on {}:{}; is the port taken? Choose another with --port",
            args.host, args.port
        )
    })?;
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    let local = listener.local_addr()?;
    let mut application = Application::build(&data_dir, &args).await?;
    application.recover().await?;
    let state = application.state().clone();
    let guarded = state.basic.is_some();
    let example = if args.no_example { None } else { example_once(&state.store, &data_dir)? };
    let signals = Signals::listen()?;
    let server = application.listen(Some(listener))?;
    println!("Parlor listens on http://{local}");
    if !guarded {
        show_first_key(&state.store, &data_dir)?;
    }
    if let Some((id, model)) = example {
        show_example(local, &id.to_string(), model);
    }
    std::io::stdout().flush()?;
    drop(state);
    let code = stop::run_until_stopped(application, server, signals, args.patience()).await;
    traces.flush().await;
    code
}

/// Takes as many open files as the system allows: shells and service managers give
/// 1,024 of them to begin with, which as many idle connections would use up.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, what there is has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Installs the example at the first start only: who deleted it does not want it back.
fn example_once(
    store: &Store,
    data_dir: &Path,
) -> anyhow::Result<Option<(ChatflowId, &'static str)>> {
    let mark = data_dir.join(EXAMPLE_MARK);
    if mark.exists() {
        return Ok(None);
    }
    let installed = example::install(store)?;
    std::fs::write(&mark, b"")?;
    Ok(installed)
}

/// Makes the first operator key. It is shown to a person at a terminal, or
/// kept in a file that only the owner can read; never in a log.
fn show_first_key(store: &Store, data_dir: &Path) -> anyhow::Result<()> {
    if !store.api_keys().list().is_empty() {
        return Ok(());
    }
    let (_, plain) = store.api_keys().create(NewKey::named("operator", &Scope::ALL))?;
    if std::io::stdout().is_terminal() {
        println!("Operator key (shown once): {plain}");
        return Ok(());
    }
    let path = data_dir.join("operator.key");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    writeln!(file, "{plain}")?;
    println!("The operator key is in the file operator.key of the data folder.");
    Ok(())
}

fn show_example(local: SocketAddr, id: &str, model: &str) {
    println!("\nAn example chatflow is installed; its model is {model}. Try:\n");
    println!("  curl http://{local}/api/v1/prediction/{id} \\");
    println!("    -H 'Content-Type: application/json' \\");
    println!(
        "    -d '{{\"question\": \"How do I import my own chatflow?\", \"sessionId\": \"me\"}}'\n"
    );
}
