//! Frames that are whole, torn, damaged or lies.

use proptest::prelude::*;

use super::super::frames::test_support::collect;
use super::test_support::{event, frame, prelude, raw};
use super::*;

fn frames(bytes: &[u8], size: usize) -> Result<Vec<Vec<u8>>, FrameError> {
    collect(EventFrames::default(), bytes.chunks(size.max(1)))
}

/// The frame without headers and payload that AWS's decoders are tested with.
const EMPTY: [u8; 16] = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];

#[test]
fn a_published_frame_is_read_as_it_is_meant() {
    assert_eq!(frames(&EMPTY, 16).unwrap(), [EMPTY]);
    assert_eq!(raw(b"", b""), EMPTY, "the tests write frames as AWS does");
    assert_eq!(Event::read(&EMPTY), Ok(Event::default()));
}

#[test]
fn an_event_tells_its_kind_and_name() {
    let bytes = event("messageStop", "{}");

    let expected = Event { kind: "event", name: "messageStop", message: "", payload: b"{}" };
    assert_eq!(Event::read(&bytes), Ok(expected));

    let headers =
        [(":message-type", "error"), (":error-code", "Gone"), (":error-message", "Come back")];
    let bytes = frame(&headers, b"");
    let expected = Event { kind: "error", name: "Gone", message: "Come back", payload: b"" };
    assert_eq!(Event::read(&bytes), Ok(expected));
}

#[test]
fn headers_of_every_type_are_skipped_or_refused() {
    let sizes = [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)];
    for (kind, size) in sizes {
        let mut headers = vec![1, b'x', kind];
        headers.extend(vec![0; size]);
        headers.extend_from_slice(b"\x0b:event-type\x07\x00\x01a");
        assert_eq!(Event::read(&raw(&headers, b"p")).unwrap().name, "a", "type {kind}");
    }
    for headers in [
        b"\x01x\x0a".as_slice(),
        b"\x01x\x07\x00\x05abc",
        b"\x01x\x07\x00\x01\xff",
        b"\xffx",
        b"\x01x\x07\xff\xff",
    ] {
        assert_eq!(Event::read(&raw(headers, b"p")), Err(FrameError::Damaged), "{headers:?}");
    }
}

#[test]
fn a_frame_of_any_length_but_its_own_is_refused_before_it_is_kept() {
    let longest = u32::try_from(MAX_FRAME_BYTES).unwrap();
    for (length, headers, expected) in [
        (longest + 1, 0, Err(FrameError::TooLong)),
        (u32::MAX, u32::MAX, Err(FrameError::TooLong)),
        (15, 0, Err(FrameError::Damaged)),
        (0, 0, Err(FrameError::Damaged)),
        (100, 85, Err(FrameError::Damaged)),
        (100, u32::MAX, Err(FrameError::Damaged)),
        (100, 84, Ok(Vec::new())),
        (longest, 0, Ok(Vec::new())),
    ] {
        assert_eq!(frames(&prelude(length, headers), 5), expected, "{length} {headers}");
    }
}

#[test]
fn no_flipped_bit_is_read_over() {
    let whole = event("contentBlockDelta", r#"{"delta":{"text":"Hi"}}"#);
    for at in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        assert_eq!(frames(&bytes, bytes.len()), Err(FrameError::Damaged), "bit {at}");
    }
}

#[test]
fn a_torn_frame_is_no_frame() {
    let whole = event("messageStop", "{}");
    for length in 0..whole.len() {
        assert_eq!(frames(&whole[..length], 7), Ok(Vec::new()), "{length} bytes");
    }
}

proptest! {
    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        size in 1usize..70,
    ) {
        let whole: Vec<Vec<u8>> =
            payloads.iter().map(|payload| frame(&[(":event-type", "x")], payload)).collect();

        let read = frames(&whole.concat(), size).unwrap();

        prop_assert_eq!(&read, &whole);
        for (frame, payload) in read.iter().zip(&payloads) {
            prop_assert_eq!(Event::read(frame).unwrap().payload, payload.as_slice());
        }
    }

    #[test]
    fn no_bytes_at_all_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = frames(&bytes, 9);
        let _ = Event::read(&bytes);
        // Headers of any content, in a frame whose checksums are right.
        let read = frames(&raw(&bytes, b"p"), 9).unwrap();
        let _ = Event::read(&read[0]);
    }
}
