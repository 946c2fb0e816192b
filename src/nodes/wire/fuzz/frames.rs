//! Streams taken apart into frames.

use super::super::eventstream::test_support::{event, frame, prelude, raw};
use super::super::eventstream::{Event, EventFrames};
use super::super::frames::test_support::collect;
use super::super::frames::{FrameError, Frames};
use super::super::lines::JsonLines;
use super::super::sse::SseEvents;

type Found = Result<Vec<Vec<u8>>, FrameError>;

/// The frames of a stream that comes whole, which are those of the stream cut
/// into pieces of any size.
fn frames<F: Frames>(size: u8, stream: &[u8]) -> Found {
    let whole = collect(F::default(), [stream]);
    let size = usize::from(size).max(1);
    assert_eq!(collect(F::default(), stream.chunks(size)), whole, "in pieces of {size}");
    assert_eq!(collect(F::default(), stream.chunks(1)), whole, "byte by byte");
    whole
}

fn n_bytes(frames: &Found) -> usize {
    frames.iter().flatten().map(Vec::len).sum()
}

#[test]
fn server_sent_events_are_the_same_wherever_they_are_cut() {
    let seeds = [
        "\u{7}data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n",
        "\u{3}: hello\r\nevent: x\r\nid: 1\r\ndata: one\r\ndata:two\r\n\r\ndata\r\n\r\n",
        "\u{1}\u{feff}data: a\r\rdata: b\r\n\rretry: 5\n\ndata:  c",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Some((size, stream)) = bytes.split_first() else { return };
        let events = frames::<SseEvents>(*size, stream);
        assert!(n_bytes(&events) <= stream.len());
    });
}

#[test]
fn lines_of_json_are_the_same_wherever_they_are_cut() {
    let seeds = [
        "\u{5}{\"message\":{\"content\":\"Hi\"}}\n{\"done\":true}\n",
        "\u{2}{\"a\":1}\r\n\r\n  \r{\"b\":2}",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Some((size, stream)) = bytes.split_first() else { return };
        let lines = frames::<JsonLines>(*size, stream);
        assert!(n_bytes(&lines) <= stream.len());
        for line in lines.iter().flatten() {
            assert!(!line.trim_ascii().is_empty() && !line.contains(&b'\n'));
        }
    });
}

#[test]
fn binary_events_are_the_same_wherever_they_are_cut() {
    let hi = event("contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#);
    let stop = event("messageStop", r#"{"stopReason":"end_turn"}"#);
    let seeds = vec![
        [&[9], &*hi, &stop].concat(),
        [&[200], &*frame(&[(":message-type", "error"), (":error-code", "x")], b"")].concat(),
        [&[3], &*prelude(u32::MAX, 0), &hi].concat(),
        [&[1], &*raw(b"\x01a\x08\0\0", b"x")].concat(),
    ];
    parlor_fuzz::check!(seeds, |bytes: &[u8]| {
        let Some((size, stream)) = bytes.split_first() else { return };
        let found = frames::<EventFrames>(*size, stream);
        assert!(n_bytes(&found) <= stream.len());
        for frame in found.iter().flatten() {
            if let Ok(event) = Event::read(frame) {
                assert!(event.payload.len() <= frame.len() - 16);
            }
        }
    });
}

/// Checksums keep most damage away from the headers, so these are right here.
#[test]
fn a_binary_event_that_is_written_is_read_again_whatever_its_headers() {
    let seeds = vec![
        b"\x17\x0b:event-type\x07\0\x05chunk{\"p\":1}".to_vec(),
        b"\x04\x01a\x09\0{\"message\":\"no\"}".to_vec(),
        b"\x08\x01a\x00\x01b\x06\xff\xffx".to_vec(),
    ];
    parlor_fuzz::check!(seeds, |bytes: &[u8]| {
        let Some((length, rest)) = bytes.split_first() else { return };
        let (headers, payload) = rest.split_at(usize::from(*length).min(rest.len()));
        let written = raw(headers, payload);
        assert_eq!(frames::<EventFrames>(5, &written), Ok(vec![written.clone()]));
        match Event::read(&written) {
            Ok(event) => assert_eq!(event.payload, payload),
            Err(error) => assert_eq!(error, FrameError::Damaged),
        }
        let name = String::from_utf8_lossy(&headers[..headers.len().min(40)]);
        let written = frame(&[(":event-type", &name), (":message-type", "event")], payload);
        let event = Event::read(&written).unwrap();
        assert_eq!((event.kind, event.name, event.payload), ("event", &*name, payload));
    });
}
