//! AWS Signature Version 4: a request proves that its sender knows a secret
//! which it does not carry.
//!
//! Source: AWS Identity and Access Management User Guide, "Create a signed
//! AWS API request". Only what our calls need: no query, a body at hand.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use ring::{digest, hmac};

use super::uri;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    /// The id of the access key; it is sent.
    pub(crate) key_id: String,
    /// The secret access key; it is not.
    pub(crate) secret: String,
    /// The token of temporary keys; it is sent.
    pub(crate) session: Option<String>,
}

/// What a signature is good for.
pub(crate) struct Scope<'a> {
    /// `us-east-1`.
    pub(crate) region: &'a str,
    /// The name that the service has in signatures, `bedrock`.
    pub(crate) service: &'a str,
    /// When it is signed; AWS takes a signature for some minutes.
    pub(crate) now: DateTime<Utc>,
}

/// The request, as it goes out.
pub(crate) struct Unsigned<'a> {
    /// `POST`.
    pub(crate) method: &'a str,
    /// The value of the `Host` header.
    pub(crate) host: &'a str,
    /// The path as it stands in the request line.
    pub(crate) path: &'a str,
    /// The value of `Content-Type`, where there is one.
    pub(crate) content_type: Option<&'a str>,
    /// All of the body.
    pub(crate) body: &'a [u8],
}

/// The headers that make a request signed; `X-Amz-Security-Token` with the
/// signer's session belongs to them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The value of `X-Amz-Date`.
    pub(crate) date: String,
    /// The value of `Authorization`.
    pub(crate) authorization: String,
}

impl Signer {
    /// Signs a request.
    pub(crate) fn sign(&self, request: &Unsigned<'_>, scope: &Scope<'_>) -> Signature {
        let date = scope.now.format("%Y%m%dT%H%M%SZ").to_string();
        let day = &date[..8];
        let headers = self.headers(request, &date);
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let canonical = canonical(request, &headers, &names);
        let scoped = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
        let to_sign = format!("{ALGORITHM}\n{date}\n{scoped}\n{}", sha256(canonical.as_bytes()));
        let signature = hex(hmac(&self.key(day, scope), &to_sign).as_ref());
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scoped}, SignedHeaders={names}, Signature={signature}",
            self.key_id
        );
        Signature { date, authorization }
    }

    /// The headers that are signed, by name.
    fn headers<'a>(
        &'a self,
        request: &Unsigned<'a>,
        date: &'a str,
    ) -> Vec<(&'static str, &'a str)> {
        let session = self.session.as_deref().map(|token| ("x-amz-security-token", token));
        let content_type = request.content_type.map(|kind| ("content-type", kind));
        let always = [("host", request.host), ("x-amz-date", date)];
        content_type.into_iter().chain(always).chain(session).collect()
    }

    /// A key for this day, region and service only.
    fn key(&self, day: &str, scope: &Scope<'_>) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{}", self.secret).as_bytes());
        let key = hmac::sign(&key, day.as_bytes());
        hmac(&hmac(&hmac(&key, scope.region), scope.service), "aws4_request")
    }
}

/// The request in the one form that both sides hash. The path is encoded once
/// more on top of its own encoding: every service but S3 wants it so.
fn canonical(request: &Unsigned<'_>, headers: &[(&str, &str)], names: &str) -> String {
    let path = uri::encode(request.path, b"/");
    let mut text = format!("{}\n{path}\n\n", request.method);
    for (name, value) in headers {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}:{}", value.trim());
    }
    let _ = write!(text, "\n{names}\n{}", sha256(request.body));
    text
}

fn hmac(key: &hmac::Tag, text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    /// The token of AWS's test suite.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signer(session: Option<&str>) -> Signer {
        Signer {
            key_id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session: session.map(str::to_owned),
        }
    }

    fn request<'a>(method: &'a str, path: &'a str) -> Unsigned<'a> {
        Unsigned { method, host: "example.amazonaws.com", path, content_type: None, body: b"" }
    }

    /// The signature, and the names of what it covers.
    fn signed(request: &Unsigned<'_>, session: Option<&str>) -> (String, String) {
        let now = Utc.with_ymd_and_hms(2015, 8, 30, 12, 36, 0).unwrap();
        let scope = Scope { region: "us-east-1", service: "service", now };
        let signature = signer(session).sign(request, &scope);
        assert_eq!(signature.date, "20150830T123600Z");
        let credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/\
                          aws4_request, SignedHeaders=";
        let rest = signature.authorization.strip_prefix(credential).unwrap();
        let (names, signature) = rest.split_once(", Signature=").unwrap();
        (names.to_owned(), signature.to_owned())
    }

    #[test]
    fn the_signatures_are_those_of_awss_test_suite() {
        let form = Unsigned {
            content_type: Some("application/x-www-form-urlencoded"),
            body: b"Param1=value1",
            ..request("POST", "/")
        };
        let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let plain = "host;x-amz-date";
        for (case, request, session, names, signature) in [
            (
                "post-vanilla",
                request("POST", "/"),
                None,
                plain,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                form,
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                request("POST", "/"),
                Some(TOKEN),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "get-space",
                request("GET", "/example space/"),
                None,
                plain,
                "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
            ),
            (
                "get-utf8",
                request("GET", "/\u{1234}"),
                None,
                plain,
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                "get-unreserved",
                request("GET", unreserved),
                None,
                plain,
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
        ] {
            let expected = (names.to_owned(), signature.to_owned());
            assert_eq!(signed(&request, session), expected, "{case}");
        }
    }

    #[test]
    fn a_call_of_bedrock_is_signed_as_awss_own_python_library_signs_it() {
        let request = Unsigned {
            method: "POST",
            host: "bedrock-runtime.us-east-1.amazonaws.com",
            path: "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
            content_type: Some("application/json"),
            body: br#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#,
        };
        let now = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
        let scope = Scope { region: "us-east-1", service: "bedrock", now };

        let signature = signer(Some("session-token")).sign(&request, &scope);

        // Made with botocore.
        let expected = "AWS4-HMAC-SHA256 \
            Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
            Signature=d28b3b31d603e70fde423f68f879f5df613fb62a5db5952b7f4e81b418a1da6b";
        assert_eq!(signature.authorization, expected);
    }

    #[test]
    fn the_path_of_a_model_is_encoded_twice_in_what_is_signed() {
        let request = request("POST", "/model/anthropic.claude-v1%3A0/converse");

        let text = canonical(&request, &[("host", " h ")], "host");

        let (head, _) = text.rsplit_once('\n').unwrap();
        assert_eq!(head, "POST\n/model/anthropic.claude-v1%253A0/converse\n\nhost:h\n\nhost");
    }
}
