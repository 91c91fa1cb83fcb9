//! Encryption by AES-256-GCM with named keys, in the format of Temporal's samples in all languages.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use temporalio_protos::temporal::api::common::v1::Payload;

use super::{CodecError, ENCODING, encoding};

pub(crate) const ENCODING_VALUE: &[u8] = b"binary/encrypted";
const KEY_ID: &str = "encryption-key-id";
const KEY_FINGERPRINT: &str = "encryption-key-fingerprint";
/// The message whose HMAC-SHA256 under a key begins with the key's fingerprint.
const FINGERPRINT_LABEL: &[u8] = b"segno encryption key fingerprint";
const FINGERPRINT_SIZE_BYTES: usize = 8;
const CIPHER: &str = "encryption-cipher";
/// The name in the samples in Java; those in other languages have none.
const CIPHER_VALUE: &[u8] = b"AES/GCM/NoPadding";
const KEY_SIZE_BYTES: usize = 32;

/// Keys by their names: the first encrypts, each decrypts what it has encrypted.
pub struct Keyring {
    keys: Vec<Key>,
    random: SystemRandom,
}

pub struct Key {
    id: String,
    key: LessSafeKey,
    /// In hexadecimal. Tells keys of one name apart, and reveals no more of the key than any text that it encrypts.
    fingerprint: String,
    /// It has decrypted a payload without a fingerprint, so other programs call this key by this name.
    has_opened_unmarked: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the codec encryption has no key")]
    None,
    #[error("the key `{0}` is given twice")]
    Twice(String),
    #[error("the name of a key is empty")]
    Nameless,
    #[error(
        "the key `{id}` must have {KEY_SIZE_BYTES} bytes, raw or in hexadecimal or base64; found {size} bytes of something else"
    )]
    Size { id: String, size: usize },
}

impl Key {
    /// From 32 raw bytes, or a text of them in hexadecimal or base64; a line end after them is ignored.
    pub fn read(id: &str, bytes: &[u8]) -> Result<Key, KeyError> {
        if id.is_empty() {
            return Err(KeyError::Nameless);
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let wrong = || KeyError::Size {
            id: id.to_owned(),
            size: bytes.len(),
        };
        let exact = [bytes, text]
            .into_iter()
            .find(|b| b.len() == KEY_SIZE_BYTES);
        let key = match exact {
            Some(bytes) => bytes.to_vec(),
            None => hexadecimal(text)
                .or_else(|| BASE64.decode(text).ok())
                .ok_or_else(wrong)?,
        };
        let fingerprint = fingerprint(&key);
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| wrong())?;
        Ok(Key {
            id: id.to_owned(),
            key: LessSafeKey::new(key),
            fingerprint,
            has_opened_unmarked: AtomicBool::new(false),
        })
    }
}

fn fingerprint(key: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, FINGERPRINT_LABEL);
    let bytes = tag.as_ref().iter().take(FINGERPRINT_SIZE_BYTES);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|d| d as u8);
    let pair = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?);
    text.chunks(2).map(pair).collect()
}

impl Keyring {
    pub fn new(keys: Vec<Key>) -> Result<Keyring, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        for (i, key) in keys.iter().enumerate() {
            if keys[..i].iter().any(|other| other.id == key.id) {
                return Err(KeyError::Twice(key.id.clone()));
            }
        }
        Ok(Keyring {
            keys,
            random: SystemRandom::new(),
        })
    }

    pub(crate) fn encode(&self, payload: &Payload) -> Result<Payload, CodecError> {
        let key = self.keys.first().ok_or(CodecError::NotEncrypted)?;
        let mut nonce = [0; NONCE_LEN];
        let random = self.random.fill(&mut nonce);
        random.map_err(|_| CodecError::NotEncrypted)?;
        let mut sealed = payload.encode_to_vec();
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        key.key
            .seal_in_place_append_tag(nonce_used, Aad::empty(), &mut sealed)
            .map_err(|_| CodecError::NotEncrypted)?;
        let metadata = [
            (ENCODING, ENCODING_VALUE),
            (CIPHER, CIPHER_VALUE),
            (KEY_ID, key.id.as_bytes()),
            (KEY_FINGERPRINT, key.fingerprint.as_bytes()),
        ];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_vec()));
        Ok(Payload {
            metadata: HashMap::from(metadata),
            data: [nonce.as_slice(), &sealed].concat(),
            ..Default::default()
        })
    }

    /// Returns as many as before, in the same order.
    pub(crate) fn decode_all(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        // Payloads after one that cannot be decrypted may show that the key is the right one.
        let decoded: Vec<_> = payloads.into_iter().map(|p| self.decode(p)).collect();
        let decoded: Result<_, _> = decoded.into_iter().collect();
        decoded.map_err(|error| self.with_what_is_known(error))
    }

    fn decode(&self, payload: Payload) -> Result<Payload, CodecError> {
        if encoding(&payload) != ENCODING_VALUE {
            return Ok(payload);
        }
        if let Some(cipher) = payload.metadata.get(CIPHER)
            && cipher != CIPHER_VALUE
        {
            let cipher = String::from_utf8_lossy(cipher).into_owned();
            return Err(CodecError::UnknownCipher(cipher));
        }
        let id = key_id(&payload).unwrap_or_default();
        let Some(key) = self.key(&id) else {
            let known: Vec<_> = self.keys.iter().map(|key| key.id.as_str()).collect();
            let known = known.join(", ");
            return Err(CodecError::UnknownKey { id, known });
        };
        // Too short for a nonce and a tag, so no key has made it.
        let Some((nonce, sealed)) = payload
            .data
            .split_at_checked(NONCE_LEN)
            .filter(|(_, sealed)| sealed.len() >= AES_256_GCM.tag_len())
        else {
            return Err(CodecError::Damaged(id));
        };
        let marked = fingerprint_of(&payload);
        let not_decrypted = || match &marked {
            Some(fingerprint) if *fingerprint == key.fingerprint => CodecError::Damaged(id.clone()),
            Some(fingerprint) => CodecError::AnotherKey {
                id: id.clone(),
                fingerprint: fingerprint.clone(),
                own: key.fingerprint.clone(),
            },
            None => CodecError::NotDecrypted(id.clone()),
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_decrypted())?;
        let mut sealed = sealed.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::empty(), &mut sealed);
        let plain = plain.map_err(|_| not_decrypted())?;
        if marked.is_none() {
            key.has_opened_unmarked.store(true, Ordering::Relaxed);
        }
        Payload::decode(&*plain).map_err(CodecError::NotAPayload)
    }

    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// A payload without a fingerprint counts as damaged only if other programs use this key by its name. With a wrong
    /// key, all payloads would count as damaged, and their receivers would fail.
    fn with_what_is_known(&self, error: CodecError) -> CodecError {
        match error {
            CodecError::NotDecrypted(id)
                if self
                    .key(&id)
                    .is_some_and(|key| key.has_opened_unmarked.load(Ordering::Relaxed)) =>
            {
                CodecError::Damaged(id)
            }
            error => error,
        }
    }
}

/// The fingerprint of the key that a payload was encrypted with, if this codec did it. Anything else under that name is none.
fn fingerprint_of(payload: &Payload) -> Option<String> {
    let fingerprint = payload.metadata.get(KEY_FINGERPRINT)?;
    let is_one = fingerprint.len() == 2 * FINGERPRINT_SIZE_BYTES
        && fingerprint
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_one.then(|| String::from_utf8_lossy(fingerprint).into_owned())
}

/// The name of the key that a payload was encrypted with.
pub(crate) fn key_id(payload: &Payload) -> Option<String> {
    let id = payload.metadata.get(KEY_ID)?;
    Some(String::from_utf8_lossy(id).into_owned())
}

/// Shows only the names.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.id))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(id: &str, byte: u8) -> Keyring {
        Keyring::new(vec![Key::read(id, &[byte; 32]).unwrap()]).unwrap()
    }

    fn damaged(sealed: &Payload) -> Payload {
        let mut damaged = sealed.clone();
        *damaged.data.last_mut().unwrap() ^= 1;
        damaged
    }

    /// In the form of other programs, and of older versions of this one.
    fn unmarked(sealed: &Payload) -> Payload {
        let mut unmarked = sealed.clone();
        unmarked.metadata.remove(KEY_FINGERPRINT);
        unmarked
    }

    fn sealed_by(keys: &Keyring) -> Payload {
        keys.encode(&Payload::default()).unwrap()
    }

    fn error_of(keys: &Keyring, payloads: Vec<Payload>) -> CodecError {
        keys.decode_all(payloads).unwrap_err()
    }

    #[test]
    fn a_wrong_key_that_opens_its_own_payloads_takes_no_other_for_damaged() {
        let (right, wrong) = (keyring("k", 1), keyring("k", 2));
        wrong.decode_all(vec![sealed_by(&wrong)]).unwrap();
        let sealed = sealed_by(&right);
        for payload in [&sealed, &damaged(&sealed), &unmarked(&sealed)] {
            let error = error_of(&wrong, vec![payload.clone()]);
            assert!(!error.is_of_payload(), "{error}");
        }
        let error = error_of(&wrong, vec![sealed]);
        let fingerprints = [fingerprint(&[1; 32]), fingerprint(&[2; 32])];
        assert!(
            fingerprints.iter().all(|f| error.to_string().contains(f)),
            "{error}"
        );
    }

    #[test]
    fn a_fingerprint_tells_at_once_that_a_payload_is_damaged() {
        let sealed = sealed_by(&keyring("k", 1));
        assert_eq!(sealed.metadata[KEY_FINGERPRINT], b"862bb07909ee0315");
        let fresh = keyring("k", 1);
        let error = error_of(&fresh, vec![damaged(&sealed)]);
        assert!(matches!(&error, CodecError::Damaged(id) if id == "k"));
        assert!(error.is_of_payload());
        // A wrong or missing fingerprint does not prevent the key from opening a payload.
        for mark in [&b"0123456789abcdef"[..], b"garbage"] {
            let mut other = sealed.clone();
            other.metadata.insert(KEY_FINGERPRINT.into(), mark.into());
            fresh.decode_all(vec![other]).unwrap();
        }
    }

    #[test]
    fn without_a_fingerprint_a_payload_is_damaged_only_if_the_key_is_known_to_be_the_right_one() {
        let sealed = unmarked(&sealed_by(&keyring("k", 1)));
        // It may be another key of that name: the payload waits for the right one, however often it is retried.
        let wrong = keyring("k", 2);
        for _ in 0..2 {
            let error = error_of(&wrong, vec![sealed.clone()]);
            assert!(!error.is_of_payload(), "{error}");
        }
        let right = keyring("k", 1);
        let error = error_of(&right, vec![damaged(&sealed)]);
        assert!(!error.is_of_payload(), "{error}");
        // Other payloads, before it or with it, show that.
        for payloads in [
            vec![damaged(&sealed), sealed.clone()],
            vec![damaged(&sealed)],
        ] {
            let error = error_of(&right, payloads);
            assert!(matches!(&error, CodecError::Damaged(id) if id == "k"));
            assert!(error.is_of_payload());
        }
        let error = error_of(&right, vec![keyring("other", 1).encode(&sealed).unwrap()]);
        assert!(matches!(error, CodecError::UnknownKey { .. }));
        // No key makes anything as short as this.
        let mut short = sealed;
        short.data.truncate(NONCE_LEN + 3);
        assert!(error_of(&wrong, vec![short]).is_of_payload());
    }
}
