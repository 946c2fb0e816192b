//! The id under which one request is found again in logs and traces.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// 16 bytes, not all zero: the `trace-id` of W3C Trace Context, level 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = String, examples("4bf92f3577b34da6a3ce929d0e0e4736"))]
pub struct TraceId(u128);

impl TraceId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4().as_u128())
    }

    /// The id of these bytes; `None` where all are zero.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        Some(u128::from_be_bytes(bytes)).filter(|id| *id != 0).map(Self)
    }

    /// The id of a `traceparent` header, `00-<32 hex>-<16 hex>-<2 hex>`;
    /// `None` for anything that the recommendation calls invalid.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_known = version != "00" || parts.next().is_none();
        let shape = is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16);
        if !shape || !is_hex(flags, 2) || version == "ff" || !is_known {
            return None;
        }
        u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0).map(Self)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_gives_its_trace_and_anything_else_none() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let found = TraceId::from_traceparent(&format!("00-{trace}-00f067aa0ba902b7-01"));
        assert_eq!(found.unwrap().to_string(), trace);
        for header in [
            "",
            trace,
            &format!("00-{trace}-00f067aa0ba902b7"),
            &format!("00-{trace}-00f067aa0ba902b7-01-x"),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceId::from_traceparent(header), None, "{header}");
        }
    }
}
