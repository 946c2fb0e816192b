//! A value as it lies on disk: version, checksum, and cut into parts.
//!
//! sled moves a value into a file of its own when the page that holds it
//! passes 128 KiB, and it never syncs such a file. A page holds up to 17
//! values, so no value here is longer than [`PART_BYTES`]: everything stays
//! in the one database file that the commit syncs.
//!
//! Head: version(1) checksum(4) number of further parts(2) bytes.

use super::error::StoreError;

/// Longest stored value; 17 of them with their keys stay under 128 KiB.
const PART_BYTES: usize = 6 * 1024;

/// Longest payload. Bigger things (uploads, documents) are files.
pub(super) const MAX_PAYLOAD_BYTES: usize = 32 * 1024 * 1024;

const HEADER_BYTES: usize = 7;

/// A payload, sealed for one key.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Stored under the key itself.
    pub head: Vec<u8>,
    /// Stored under the keys of parts 0, 1, ...
    pub rest: Vec<Vec<u8>>,
}

/// Seals a payload. The checksum covers the key too, so that a value that
/// ends up under another key is noticed.
///
/// # Errors
/// [`StoreError::TooLarge`] over [`MAX_PAYLOAD_BYTES`].
pub(super) fn seal(version: u8, key: &[u8], payload: &[u8]) -> Result<Parcel, StoreError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(StoreError::TooLarge(MAX_PAYLOAD_BYTES));
    }
    let (first, further) = payload.split_at(payload.len().min(PART_BYTES - HEADER_BYTES));
    let rest: Vec<_> = further.chunks(PART_BYTES).map(<[u8]>::to_vec).collect();
    let n_parts = u16::try_from(rest.len()).map_err(|_| StoreError::TooLarge(MAX_PAYLOAD_BYTES))?;
    let mut head = Vec::with_capacity(HEADER_BYTES + first.len());
    head.push(version);
    head.extend_from_slice(&checksum(version, key, n_parts, payload).to_be_bytes());
    head.extend_from_slice(&n_parts.to_be_bytes());
    head.extend_from_slice(first);
    Ok(Parcel { head, rest })
}

/// How many further parts a head announces; 0 where it is no head.
pub(super) fn n_parts(head: &[u8]) -> u16 {
    head.get(5..HEADER_BYTES).and_then(|n| n.try_into().ok()).map_or(0, u16::from_be_bytes)
}

/// What of its payload a head holds; `None` where it is no head. Unchecked.
pub(super) fn beginning(head: &[u8]) -> Option<&[u8]> {
    head.get(HEADER_BYTES..)
}

/// Puts a payload together again and checks it. `part` fetches a further part.
///
/// # Errors
/// The outer error is that of `part`; the inner one says in a few words what
/// is wrong with the bytes.
pub(super) fn open<E, P: AsRef<[u8]>>(
    version: u8,
    key: &[u8],
    head: &[u8],
    mut part: impl FnMut(u16) -> Result<Option<P>, E>,
) -> Result<Result<Vec<u8>, &'static str>, E> {
    let Some((header, first)) = head.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(Err("it is cut short"));
    };
    if header[0] != version {
        return Ok(Err("its version is unknown"));
    }
    let mut payload = first.to_vec();
    let n_parts = n_parts(head);
    for number in 0..n_parts {
        match part(number)? {
            Some(bytes) => payload.extend_from_slice(bytes.as_ref()),
            None => return Ok(Err("a part of it is missing")),
        }
    }
    let expected = [header[1], header[2], header[3], header[4]];
    let found = checksum(version, key, n_parts, &payload).to_be_bytes();
    Ok(if found == expected { Ok(payload) } else { Err("its checksum does not match") })
}

fn checksum(version: u8, key: &[u8], n_parts: u16, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(key);
    hasher.update(&n_parts.to_be_bytes());
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn reopen(parcel: &Parcel, key: &[u8]) -> Result<Vec<u8>, &'static str> {
        let part = |n: u16| Ok::<_, Infallible>(parcel.rest.get(usize::from(n)));
        open(1, key, &parcel.head, part).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_payload_of_any_length_comes_back_and_no_value_is_long(length in 0usize..40_000) {
            let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let parcel = seal(1, b"key", &payload).unwrap();
            prop_assert!(parcel.head.len() <= PART_BYTES);
            prop_assert!(parcel.rest.iter().all(|part| part.len() <= PART_BYTES));
            prop_assert_eq!(reopen(&parcel, b"key").unwrap(), payload);
        }

        #[test]
        fn one_flipped_bit_anywhere_is_noticed(length in 0usize..20_000, at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut parcel = seal(1, b"key", &vec![7; length]).unwrap();
            let total = parcel.head.len() + parcel.rest.iter().map(Vec::len).sum::<usize>();
            let at = at.index(total);
            let mut bytes = parcel.head.iter_mut().chain(parcel.rest.iter_mut().flatten());
            *bytes.nth(at).unwrap() ^= 1 << bit;
            prop_assert!(reopen(&parcel, b"key").is_err());
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed() {
        let parcel = seal(1, b"key", b"payload").unwrap();
        assert_eq!(reopen(&parcel, b"kez"), Err("its checksum does not match"));
    }

    #[test]
    fn a_payload_over_the_limit_is_refused() {
        let error = seal(1, b"key", &vec![0; MAX_PAYLOAD_BYTES + 1]).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge(_)));
    }
}
