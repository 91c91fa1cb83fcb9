//! Encryption by AES-256-GCM under keys with names, in the format of Temporal's samples in all languages.

use std::collections::HashMap;
use std::fmt;

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

    pub fn decode(&self, payload: Payload) -> Result<Payload, CodecError> {
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
        let Some(key) = self.keys.iter().find(|key| key.id == id) else {
            let known: Vec<_> = self.keys.iter().map(|key| key.id.as_str()).collect();
            let known = known.join(", ");
            return Err(CodecError::UnknownKey { id, known });
        };
        let not_decrypted = || CodecError::NotDecrypted(id.clone());
        let (nonce, sealed) = payload
            .data
            .split_at_checked(NONCE_LEN)
            .ok_or_else(not_decrypted)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| not_decrypted())?;
        let mut sealed = sealed.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::empty(), &mut sealed);
        let plain = plain.map_err(|_| not_decrypted())?;
        Payload::decode(&*plain).map_err(CodecError::NotAPayload)
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
