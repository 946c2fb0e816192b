//! Flowise's `apiSecret`: `hex(scrypt(key, salt)) . salt` with Node's default
//! parameters and the salt as text (Flowise 2.2.8, `utils/apiKey.ts`).

use subtle::ConstantTimeEq;

const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;
const HASH_BYTES: usize = 64;
const LONGEST_SALT: usize = 64;

/// Whether a text has the form of `apiSecret`.
pub(super) fn is_hash(text: &str) -> bool {
    let Some((hash, salt)) = text.split_once('.') else { return false };
    hash.len() == 2 * HASH_BYTES
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (1..=LONGEST_SALT).contains(&salt.len())
        && salt.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text has the form of the keys that Flowise makes, 32 bytes of
/// base64: nothing else is worth a slow check.
pub(super) fn may_be_a_key(plain: &str) -> bool {
    let body = plain.strip_suffix('=').unwrap_or(plain);
    body.len() == 43
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+/".contains(&byte))
}

/// Whether the hash is that of the key. Takes 70 ms of CPU and 16 MiB.
pub(super) fn matches(stored: &str, plain: &str) -> bool {
    let Some((wanted, salt)) = stored.split_once('.') else { return false };
    let Ok(params) = scrypt::Params::new(LOG_N, R, P, HASH_BYTES) else { return false };
    let mut hash = [0; HASH_BYTES];
    if scrypt::scrypt(plain.as_bytes(), salt.as_bytes(), &params, &mut hash).is_err() {
        return false;
    }
    super::hex(&hash).as_bytes().ct_eq(wanted.to_ascii_lowercase().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_flowise_could_have_made_is_worth_a_slow_check() {
        assert!(may_be_a_key("Gqq9D2WjcuzmkuVjYB5wQewjU-_YYqndAvNE65dcjuk"));
        assert!(may_be_a_key("v/h19X+WjcuzmkuVjYB5wQewjU8hYYqndAvNE65dcju="));
        for other in ["", "wrong", &"a".repeat(42), &"a".repeat(45), &"ä".repeat(22)] {
            assert!(!may_be_a_key(other), "{other}");
        }
        assert!(is_hash(&format!("{}.00112233aabbccdd", "0f".repeat(64))));
        for other in ["", ".", &"0f".repeat(64), &format!("{}.a", "0f".repeat(63)), "zz.zz"] {
            assert!(!is_hash(other), "{other}");
        }
    }
}
