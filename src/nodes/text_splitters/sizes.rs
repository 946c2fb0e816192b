//! How long chunks are and how much of one the next repeats.

use crate::error::NodeError;
use crate::inputs::Inputs;
use crate::spec::{Kind, Param};

/// The most that a chunk holds.
pub(super) const CHUNK_SIZE: Param = Param::open("chunkSize", Kind::Integer);
/// The most that a chunk repeats of the one before.
pub(super) const CHUNK_OVERLAP: Param = Param::open("chunkOverlap", Kind::Integer);

/// What LangChain takes where nothing is said.
const USUAL_SIZE: usize = 1000;
const USUAL_OVERLAP: usize = 200;

/// Both sizes, in UTF-16 units or in tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// At least 1.
    pub chunk: usize,
    /// Less than `chunk`.
    pub overlap: usize,
}

impl Sizes {
    /// The sizes that the node says. Flowise takes the number 0, which its own form
    /// writes for an overlap, for "nothing said"; here it is 0.
    ///
    /// # Errors
    /// [`NodeError::BadInput`] for a chunk size below 1 and for an overlap that is
    /// negative or no less than it.
    pub fn read(inputs: &Inputs) -> Result<Self, NodeError> {
        let size = |param: Param, least, usual| {
            let number = inputs.integer(param.name, least)?;
            let number = number.and_then(|number| usize::try_from(number).ok());
            Ok::<usize, NodeError>(number.unwrap_or(usual))
        };
        let chunk = size(CHUNK_SIZE, 1, USUAL_SIZE)?;
        let overlap = size(CHUNK_OVERLAP, 0, USUAL_OVERLAP)?;
        if overlap < chunk {
            return Ok(Self { chunk, overlap });
        }
        let problem = format!(
            "is {overlap} and must be less than chunkSize, which is {chunk}; empty means \
             {USUAL_OVERLAP} (Cannot have chunkOverlap >= chunkSize)"
        );
        Err(inputs.bad(CHUNK_OVERLAP.name, problem))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::test_support::{inputs, json as tree};

    fn read(size: Value, overlap: Value) -> Result<(usize, usize), String> {
        let inputs = inputs([("chunkSize", tree(size)), ("chunkOverlap", tree(overlap))]);
        let sizes = Sizes::read(&inputs).map_err(|error| error.to_string())?;
        Ok((sizes.chunk, sizes.overlap))
    }

    #[test]
    fn nothing_said_is_1000_and_200_and_a_zero_is_a_zero() {
        for (size, overlap, expected) in [
            (json!(null), json!(null), (1000, 200)),
            (json!(""), json!(""), (1000, 200)),
            (json!("4000"), json!(""), (4000, 200)),
            (json!(60), json!(0), (60, 0)),
            (json!("60"), json!("0"), (60, 0)),
            (json!(1), json!(0), (1, 0)),
            (json!(8_000_000_000_000_000_u64), json!(7), (8_000_000_000_000_000, 7)),
        ] {
            assert_eq!(read(size.clone(), overlap.clone()), Ok(expected), "{size} {overlap}");
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused_by_name() {
        for (size, overlap, named) in [
            (json!(0), json!(0), "chunkSize must be a whole number of at least 1"),
            (json!("-5"), json!(0), "chunkSize must be a whole number of at least 1"),
            (json!(10.5), json!(0), "chunkSize must be a whole number of at least 1"),
            (json!("ten"), json!(0), "chunkSize must be a number"),
            (json!(1e300), json!(0), "chunkSize must be a whole number"),
            (json!(10), json!(-1), "chunkOverlap must be a whole number of at least 0"),
            (json!(10), json!(0.5), "chunkOverlap must be a whole number of at least 0"),
            (json!(10), json!(10), "Cannot have chunkOverlap >= chunkSize"),
            (json!(100), json!(""), "chunkOverlap is 200 and must be less than chunkSize"),
        ] {
            let error = read(size.clone(), overlap.clone()).unwrap_err();
            assert!(error.contains(named), "{size} {overlap}: {error}");
        }
    }
}
