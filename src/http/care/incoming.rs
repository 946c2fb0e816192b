//! `POST /api/v1/messages/import`: messages as lines, read as they arrive.

use std::collections::{HashMap, HashSet};

use actix_web::{HttpResponse, web};
use bytes::BytesMut;
use futures::StreamExt;
use parlor_schemas::ChatflowId;
use serde::Serialize;

use super::lines::HalfTurn;
use super::pairing::Pairing;
use super::{Query, lines, only, parameter};
use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::store::ImportedTurn;

/// Turns of one write.
const TURNS_A_WRITE: usize = 32;

/// Longest line: the two of a turn fit into the longest record.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of lines after which a write is due.
const BYTES_A_WRITE: usize = 1024 * 1024;

/// Refused lines that the report names.
const MAX_NAMED: usize = 100;

/// What became of the lines.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Lines that held something.
    lines: u64,
    /// Messages stored.
    imported: u64,
    /// Messages whose id was there already.
    skipped: u64,
    /// Lines that are no message, or of a chatflow that is not here.
    refused: u64,
    /// The first of them.
    refusals: Vec<Refusal>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    /// Counted from 1.
    line: u64,
    reason: String,
}

/// Stores the messages of the body, in order for each session, but for those
/// whose id is there already. `chatflow` takes the place of the lines' own.
///
/// # Errors
/// 400 when the body breaks off or an id cannot be one; what the store says.
/// What was stored before stays: sending all again does no harm.
#[utoipa::path(
    post, path = "/api/v1/messages/import", tag = "Messages",
    params(("chatflow" = Option<ChatflowId>, Query, description = "Takes the place of the lines' own")),
    request_body(content = Option<String>, content_type = "text/plain", description = "NDJSON: messages as GET chatmessage shows them, one on a line; application/x-ndjson is taken too"),
    responses((status = 200, description = "Counts of lines, imported, skipped and refused, and the first refusals", body = serde_json::Value))
)]
pub async fn import(
    query: Query,
    mut body: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    only(&query, &["chatflow"])?;
    let chatflow = parameter(&query, "chatflow", ChatflowId::parse)?;
    let mut import = Import { chatflow, ..Import::new(&state) };
    let mut buffer = BytesMut::new();
    let mut is_overlong = false;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| ApiError::bad("the body broke off"))?;
        // What is in the buffer already has no end of a line.
        let mut rest = &piece[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            buffer.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = buffer.split();
            import.line(&line, std::mem::take(&mut is_overlong)).await?;
        }
        buffer.extend_from_slice(rest);
        if buffer.len() > MAX_LINE_BYTES {
            buffer.clear();
            is_overlong = true;
        }
    }
    import.line(&buffer, is_overlong).await?;
    Ok(HttpResponse::Ok().json(import.finish().await?))
}

struct Import<'a> {
    state: &'a AppState,
    chatflow: Option<ChatflowId>,
    known: HashMap<ChatflowId, bool>,
    touched: Touched<'a>,
    pairing: Pairing,
    ready: Vec<ImportedTurn>,
    n_ready_bytes: usize,
    n_lines: u64,
    report: Report,
}

impl<'a> Import<'a> {
    fn new(state: &'a AppState) -> Self {
        Self {
            state,
            chatflow: None,
            known: HashMap::new(),
            touched: Touched { state, chatflows: HashSet::new() },
            pairing: Pairing::default(),
            ready: Vec::new(),
            n_ready_bytes: 0,
            n_lines: 0,
            report: Report::default(),
        }
    }

    async fn line(&mut self, line: &[u8], is_overlong: bool) -> Result<(), ApiError> {
        self.n_lines += 1;
        let line = line.trim_ascii();
        if line.is_empty() && !is_overlong {
            return Ok(());
        }
        self.report.lines += 1;
        match self.half(line, is_overlong)? {
            Err(reason) => self.refuse(reason),
            Ok(half) => self.take(half).await?,
        }
        Ok(())
    }

    /// The message of a line, or why it is refused.
    fn half(
        &mut self,
        line: &[u8],
        is_overlong: bool,
    ) -> Result<Result<HalfTurn, String>, ApiError> {
        if is_overlong {
            return Ok(Err("it is longer than 16 MiB".to_owned()));
        }
        let half = match lines::read(line, self.chatflow) {
            Ok(half) => half,
            Err(reason) => return Ok(Err(reason)),
        };
        let chatflow = half.key.chatflow;
        Ok(match self.is_known(chatflow)? {
            true => Ok(half),
            false => Err(format!("chatflow {chatflow} is not stored here")),
        })
    }

    async fn take(&mut self, half: HalfTurn) -> Result<(), ApiError> {
        self.n_ready_bytes += half.n_bytes;
        self.ready.extend(self.pairing.take(half));
        if self.ready.len() >= TURNS_A_WRITE || self.n_ready_bytes >= BYTES_A_WRITE {
            self.write().await?;
        }
        Ok(())
    }

    fn refuse(&mut self, reason: String) {
        self.report.refused += 1;
        if self.report.refusals.len() < MAX_NAMED {
            self.report.refusals.push(Refusal { line: self.n_lines, reason });
        }
    }

    fn is_known(&mut self, chatflow: ChatflowId) -> Result<bool, ApiError> {
        if let Some(known) = self.known.get(&chatflow) {
            return Ok(*known);
        }
        let known = self.state.store.chatflows().get(chatflow)?.is_some();
        self.known.insert(chatflow, known);
        Ok(known)
    }

    async fn write(&mut self) -> Result<(), ApiError> {
        self.n_ready_bytes = 0;
        let ready = std::mem::take(&mut self.ready);
        if ready.is_empty() {
            return Ok(());
        }
        let n_messages: u64 = ready.iter().map(|turn| turn.halves.count()).sum();
        self.touched.chatflows.extend(ready.iter().map(|turn| turn.key.chatflow));
        let n_stored = self.state.store.history().import(ready).await?;
        self.report.imported += n_stored;
        self.report.skipped += n_messages - n_stored;
        Ok(())
    }

    async fn finish(mut self) -> Result<Report, ApiError> {
        let rest = std::mem::take(&mut self.pairing).rest();
        self.ready.extend(rest);
        self.write().await?;
        for chatflow in std::mem::take(&mut self.touched.chatflows) {
            self.state.supervisor.drop_memory(chatflow).await;
        }
        Ok(self.report)
    }
}

/// Chatflows whose live sessions must read again, also when the import breaks off.
struct Touched<'a> {
    state: &'a AppState,
    chatflows: HashSet<ChatflowId>,
}

impl Drop for Touched<'_> {
    fn drop(&mut self) {
        let chatflows = std::mem::take(&mut self.chatflows);
        if chatflows.is_empty() {
            return;
        }
        let supervisor = self.state.supervisor.clone();
        actix_web::rt::spawn(async move {
            for chatflow in chatflows {
                supervisor.drop_memory(chatflow).await;
            }
        });
    }
}
