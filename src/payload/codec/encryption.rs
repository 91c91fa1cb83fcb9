//! Encryption by AES-256-GCM under keys with names, in the format of Temporal's samples in all languages.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use temporalio_protos::temporal::api::common::v1::Payload;

use super::{CodecError, ENCODING, encoding};

pub const ENCODING_VALUE: &[u8] = b"binary/encrypted";
const KEY_ID: &str = "encryption-key-id";
const CIPHER: &str = "encryption-cipher";
/// As the samples in Java name it; those in other languages name none.
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
    /// It has decrypted something, so it is the key that others call by this name.
    has_opened: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the codec encryption has no key")]
    None,
    #[error("the key `{0}` is there twice")]
    Twice(String),
    #[error("the name of a key is empty")]
    Nameless,
    #[error(
        "the key `{id}` is not {KEY_SIZE_BYTES} bytes, neither as they are nor in hexadecimal or base64: it is {size} bytes of something else"
    )]
    Size { id: String, size: usize },
}

impl Key {
    /// From 32 bytes as they are, or a text of them in hexadecimal or base64; a line's end after them does not count.
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
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| wrong())?;
        Ok(Key {
            id: id.to_owned(),
            key: LessSafeKey::new(key),
            has_opened: AtomicBool::new(false),
        })
    }
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

    pub fn encode(&self, payload: &Payload) -> Result<Payload, CodecError> {
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
        ];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_vec()));
        Ok(Payload {
            metadata: HashMap::from(metadata),
            data: [nonce.as_slice(), &sealed].concat(),
            ..Default::default()
        })
    }

    /// As many as before, in the same order.
    pub fn decode_all(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        // What comes after a payload that cannot be decrypted may show that the key is the right one.
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
        // Too short for a nonce and a tag, it is nothing that any key has made.
        let Some((nonce, sealed)) = payload
            .data
            .split_at_checked(NONCE_LEN)
            .filter(|(_, sealed)| sealed.len() >= AES_256_GCM.tag_len())
        else {
            return Err(CodecError::Damaged(id));
        };
        let not_decrypted = || CodecError::NotDecrypted(id.clone());
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_decrypted())?;
        let mut sealed = sealed.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::empty(), &mut sealed);
        let plain = plain.map_err(|_| not_decrypted())?;
        key.has_opened.store(true, Ordering::Relaxed);
        Payload::decode(&*plain).map_err(CodecError::NotAPayload)
    }

    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// With a key that has decrypted nothing yet, the key may be the wrong one of that name: to take all payloads for damaged then
    /// would fail every run that the worker serves.
    fn with_what_is_known(&self, error: CodecError) -> CodecError {
        match error {
            CodecError::NotDecrypted(id)
                if self
                    .key(&id)
                    .is_some_and(|key| key.has_opened.load(Ordering::Relaxed)) =>
            {
                CodecError::Damaged(id)
            }
            error => error,
        }
    }
}

/// The name of the key that a payload was encrypted with.
pub fn key_id(payload: &Payload) -> Option<String> {
    let id = payload.metadata.get(KEY_ID)?;
    Some(String::from_utf8_lossy(id).into_owned())
}

/// The names only.
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

    #[test]
    fn a_payload_is_damaged_only_where_its_key_is_known_to_be_the_right_one() {
        let sealed = keyring("k", 1).encode(&Payload::default()).unwrap();
        let of = |keys: &Keyring, payloads| keys.decode_all(payloads).unwrap_err();
        // It may be another key of the name: the payload waits for the right one, however often it is tried.
        let wrong = keyring("k", 2);
        for _ in 0..2 {
            let error = of(&wrong, vec![sealed.clone()]);
            assert!(!error.is_of_payload(), "{error}");
        }
        let right = keyring("k", 1);
        let error = of(&right, vec![damaged(&sealed)]);
        assert!(!error.is_of_payload(), "{error}");
        // What comes with it tells, and what came before.
        for payloads in [
            vec![damaged(&sealed), sealed.clone()],
            vec![damaged(&sealed)],
        ] {
            let error = of(&right, payloads);
            assert!(matches!(&error, CodecError::Damaged(id) if id == "k"));
            assert!(error.is_of_payload());
        }
        let error = of(&right, vec![keyring("other", 1).encode(&sealed).unwrap()]);
        assert!(matches!(error, CodecError::UnknownKey { .. }));
        // No key makes anything as short as this.
        let mut short = sealed;
        short.data.truncate(NONCE_LEN + 3);
        assert!(of(&wrong, vec![short]).is_of_payload());
    }
}
