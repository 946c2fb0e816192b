//! Just enough HTTP/1.1 to read the head of a message, for both ends.
//!
//! The peers are our own server, our own model server and the server under test, so
//! this reads what they send and refuses the rest; it is no general parser.

/// Heads longer than this are refused: no peer here sends one.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// `Content-Length`; 0 when a message names neither way.
    Exactly(usize),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Where the head ends: the index just past its empty line.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The first line of a head, without its line end.
pub fn first_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    &head[..end]
}

/// A header's value by its name in any case, trimmed.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (found, value) = line.split_at(colon);
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}

/// How long the body is, or nothing if the head says it in a way that makes no sense.
pub fn body_length(head: &[u8]) -> Option<BodyLength> {
    if let Some(value) = header(head, "transfer-encoding") {
        return value.eq_ignore_ascii_case(b"chunked").then_some(BodyLength::Chunked);
    }
    match header(head, "content-length") {
        None => Some(BodyLength::Exactly(0)),
        Some(value) => std::str::from_utf8(value).ok()?.parse().ok().map(BodyLength::Exactly),
    }
}

/// Whether the sender will close the connection after this message.
pub fn closes(head: &[u8]) -> bool {
    header(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
}

/// The status of a reply's first line.
pub fn status(head: &[u8]) -> Option<u16> {
    let line = first_line(head);
    let code = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(code.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 503 Busy\r\ncontent-LENGTH: 12\r\nConnection:close\r\n\r\n";

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        assert_eq!(status(REPLY), Some(503));
        assert_eq!(body_length(REPLY), Some(BodyLength::Exactly(12)));
        assert!(closes(REPLY));
        assert_eq!(head_end(REPLY), Some(REPLY.len()));
    }

    #[test]
    fn a_chunked_head_is_told_from_one_with_a_length() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(body_length(head), Some(BodyLength::Chunked));
        assert_eq!(body_length(b"HTTP/1.1 200 OK\r\n\r\n"), Some(BodyLength::Exactly(0)));
        assert_eq!(body_length(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"), None);
    }

    #[test]
    fn half_a_head_has_no_end_yet() {
        assert_eq!(head_end(&REPLY[..REPLY.len() - 1]), None);
    }
}
