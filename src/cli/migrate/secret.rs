//! Credentials as Flowise encrypts them, with the `AES.encrypt(text, passphrase)`
//! of crypto-js: `Salted__`, a salt of 8 bytes and the ciphertext, in base64.
//! Key and IV come from the passphrase by EVP_BytesToKey, one round of MD5.
//! Nothing authenticates it, so it is only ever read, never written.

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use md5::{Digest, Md5};
use serde_json::{Map, Value};

/// The fields of a credential, or `None` where the passphrase does not fit.
pub(super) fn decrypt(encrypted: &str, passphrase: &str) -> Option<Map<String, Value>> {
    let bytes = STANDARD.decode(encrypted.trim()).ok()?;
    let (salt, sealed) = bytes.strip_prefix(b"Salted__")?.split_first_chunk::<8>()?;
    let (key, iv) = key_and_iv(passphrase.as_bytes(), salt);
    let cipher = cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into());
    let plain = cipher.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()?;
    serde_json::from_slice(&plain).ok()
}

/// 32 bytes of key and 16 of IV: MD5 sums, each over the one before, the
/// passphrase and the salt.
fn key_and_iv(passphrase: &[u8], salt: &[u8]) -> ([u8; 32], [u8; 16]) {
    let sum = |before: &[u8]| -> [u8; 16] {
        Md5::new()
            .chain_update(before)
            .chain_update(passphrase)
            .chain_update(salt)
            .finalize()
            .into()
    };
    let (first, mut key) = (sum(&[]), [0; 32]);
    let second = sum(&first);
    key[..16].copy_from_slice(&first);
    key[16..].copy_from_slice(&second);
    (key, sum(&second))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made once with crypto-js 4.2.0:
    /// `AES.encrypt('{"openAIApiKey":"sk-from-crypto-js"}', PASSPHRASE).toString()`.
    const SEALED: &str =
        "U2FsdGVkX19w2RQvv5RxYAnqzFeYEQnPUT84yD7CDVwwUUBIgvExRv/+mLm8mnft0MRg105Zy1g2Top/QNn1IA==";
    const PASSPHRASE: &str = "a passphrase of 32 bytes or so ok";

    #[test]
    fn what_crypto_js_sealed_is_read_with_its_passphrase_only() {
        let fields = decrypt(SEALED, PASSPHRASE).unwrap();
        assert_eq!(Value::Object(fields), serde_json::json!({"openAIApiKey": "sk-from-crypto-js"}));
        for wrong in ["", "another", "a passphrase of 32 bytes or so ok\n"] {
            assert_eq!(decrypt(SEALED, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_sealed_text_is_refused() {
        for bad in ["", "FlowiseCredential_1", "U2FsdGVkX18=", "AAAA", &SEALED[..60]] {
            assert_eq!(decrypt(bad, PASSPHRASE), None, "{bad}");
        }
    }
}
