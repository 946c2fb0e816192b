//! Data URIs, as browsers and clients write them.

use parlor_nodes::files::decode_base64;

/// The bytes of `data:<type>;base64,<payload>`, or what is expected instead.
pub(super) fn decode(uri: &str) -> Result<Vec<u8>, &'static str> {
    const WANTED: &str = "must be a data URI such as data:image/png;base64,iVBORw0...";
    let (head, payload) = uri.rsplit_once(',').ok_or(WANTED)?;
    if !head.starts_with("data:") || !head.ends_with(";base64") || payload.is_empty() {
        return Err(WANTED);
    }
    decode_base64(payload).ok_or("holds no valid base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_uris_are_read_as_browsers_write_them() {
        for uri in [
            "data:image/png;base64,QUJD",
            "data:audio/webm;codecs=opus;base64,QUJD",
            "data:;base64,QUJD",
        ] {
            assert_eq!(decode(uri).unwrap(), b"ABC", "{uri}");
        }
        assert_eq!(decode("data:x/y;base64,QUI").unwrap(), b"AB", "padding may be missing");
        assert_eq!(decode("data:x/y;base64,-_8").unwrap(), [0xfb, 0xff]);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for uri in ["", "notadatauri", "QUJD", "data:image/png,abc", "data:image/png;base64,", ",x"]
        {
            assert!(decode(uri).unwrap_err().contains("data URI"), "{uri}");
        }
        assert_eq!(decode("data:x/y;base64,!!!!").unwrap_err(), "holds no valid base64");
    }
}
