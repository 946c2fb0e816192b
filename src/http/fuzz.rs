//! Bodies of forms.

use futures::FutureExt;
use parlor_schemas::prediction::MAX_UPLOADS;
use serde_json::Value;

use super::form;
use super::multipart::parts;

fn read(
    boundary: &str,
    bytes: &[u8],
) -> Option<(serde_json::Map<String, Value>, Vec<crate::flow::uploads::FormFile>)> {
    // Everything is there already, so nothing is waited for.
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    parts(boundary, bytes).now_or_never().unwrap().ok()
}

#[test]
fn any_multipart_body_is_a_form_within_its_limits_or_is_refused() {
    let seeds = [
        "--x\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nhi\r\n\
         --x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n\
         Content-Type: text/plain\r\n\r\nHello\r\n--x--\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"overrideConfig[vars][a]\"\r\n\r\n1\r\n\
         --x\r\nContent-Disposition: form-data; name=\"history\"\r\n\r\n[]\r\n--x--",
        "--x\r\nContent-Disposition: form-data; name*=utf-8''a; filename=\"\"\r\n\r\n\r\n--x--",
    ];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Some((fields, files)) = read("x", bytes) else { return };
        assert!(fields.len() <= form::MAX_FIELDS && files.len() <= MAX_UPLOADS);
        assert!(files.iter().map(|file| file.bytes.len()).sum::<usize>() <= bytes.len());
        assert!(files.iter().all(|file| !file.name.is_empty()));
    });
}

#[test]
fn a_multipart_body_that_is_written_is_read_again() {
    let seeds = ["\u{3}one\r\n--two", "\u{1}\r\n\r\n", "\u{9}\0ß\"\r\n--boundar"];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let Some((length, rest)) = bytes.split_first() else { return };
        let (value, file) = rest.split_at(usize::from(*length).min(rest.len()));
        let value = String::from_utf8_lossy(value);
        let head = "\r\n--a-boundary-of-its-own\r\nContent-Disposition: form-data; name=";
        let ends_early = |part: &[u8]| part.windows(9).any(|at| at == b"--a-bound");
        if ends_early(value.as_bytes()) || ends_early(file) {
            return;
        }
        let written = [
            &head.as_bytes()[2..],
            b"\"question\"\r\n\r\n",
            value.as_bytes(),
            head.as_bytes(),
            b"\"files\"; filename=\"a\"\r\n\r\n",
            file,
            b"\r\n--a-boundary-of-its-own--\r\n",
        ]
        .concat();
        let (fields, files) = read("a-boundary-of-its-own", &written).unwrap();
        assert_eq!(fields["question"].as_str(), Some(&*value));
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].name.as_str(), &files[0].bytes[..]), ("a", file));
    });
}

#[test]
fn any_names_of_fields_nest_no_deeper_than_allowed() {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    let seeds =
        ["a[b][c]\n1\na[]\nx\na[]\ny", "tags[0]\nx\ntags[1][z]\ny\ntags\nq", "[]\n\n[][]\n"];
    parlor_fuzz::check!(seeds.map(Vec::from), |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.split('\n').collect();
        let pairs = lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
        let pairs: Vec<_> = pairs.collect();
        let n_pairs = pairs.len();
        let Ok(mut body) = form::body(pairs) else { return };
        assert!(body.len() <= n_pairs);
        body.retain(|name, _| {
            !["overrideConfig", "history", "uploads", "vars"].contains(&name.as_str())
        });
        // Five names below the body, each with a list of what came under it.
        assert!(depth(&Value::Object(body)) <= 11);
    });
}
