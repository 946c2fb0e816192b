//! `parlor chat`: a conversation in the terminal, streamed.
#![allow(clippy::print_stdout, reason = "the command line speaks on standard output")]

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use parlor_schemas::SessionId;
use serde_json::{Value, json};

use super::client::{Client, Target, with_client};
use super::events;

/// Arguments of the command.
#[derive(Debug, Args)]
pub(super) struct ChatArgs {
    /// Id of the chatflow
    id: String,
    /// Session to go on with; a new one otherwise
    #[arg(long)]
    session: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(data_dir: PathBuf, args: ChatArgs) -> anyhow::Result<u8> {
    let session = args.session.clone().unwrap_or_else(|| SessionId::random().to_string());
    let path = format!("/api/v1/prediction/{}", args.id);
    with_client(&data_dir, &args.target, |client| async move {
        let at_terminal = std::io::stdin().is_terminal();
        if at_terminal {
            println!("Session {session}. An empty line ends the chat.");
        }
        loop {
            if at_terminal {
                print!("> ");
                std::io::stdout().flush()?;
            }
            let line = tokio::task::spawn_blocking(read_line).await??;
            let Some(question) = line.filter(|line| !line.is_empty()) else { return Ok(()) };
            ask(&client, &path, &question, &session).await?;
        }
    })
    .await?;
    Ok(0)
}

fn read_line() -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let n_read = std::io::stdin().lock().read_line(&mut line)?;
    Ok((n_read > 0).then(|| line.trim().to_owned()))
}

async fn ask(client: &Client, path: &str, question: &str, session: &str) -> anyhow::Result<()> {
    let body =
        json!({"question": question, "streaming": true, "overrideConfig": {"sessionId": session}});
    let request = client.request(reqwest::Method::POST, path);
    let response = request.header("Content-Type", "application/json").body(body.to_string());
    match events::read(response.send().await?, show).await? {
        None => println!(),
        Some(answer) => println!("{}", events::words(&answer)),
    }
    Ok(())
}

fn show(event: &str, data: Value) -> anyhow::Result<()> {
    if let ("token", Value::String(text)) = (event, data) {
        print!("{text}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
