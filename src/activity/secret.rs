//! Secrets by name, from the worker's environment or files, and their removal from whatever leaves an activity.

use std::path::PathBuf;

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};

use super::input::known_keys;
use crate::limits::SECRET_SIZE_BYTES_MAX;
use crate::value::{Key, Map, Value};

/// The secret `NAME` is the environment variable `SEGNO_SECRET_NAME`.
pub const SECRET_VARIABLE_PREFIX: &str = "SEGNO_SECRET_";
const REDACTED: &str = "[redacted]";

/// Where secrets are looked up. They are read anew each time, so a rotated one is in force at once.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// A folder in which the file `NAME` holds the secret `NAME`; it goes before the environment.
    pub folder: Option<PathBuf>,
}

impl Secrets {
    /// An error says what was looked for, never what was found.
    pub fn get(&self, name: &str) -> Result<SecretString, String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(format!(
                "`{name}` is not a secret's name: letters, digits, `_`, `-` and `.`, not starting with a dot"
            ));
        }
        let variable = format!("{SECRET_VARIABLE_PREFIX}{name}");
        let text = match self.in_folder(name)? {
            Some(text) => text,
            None => std::env::var(&variable).map_err(|_| self.missing(name, &variable))?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(format!("the secret `{name}` is empty"));
        }
        if text.len() > SECRET_SIZE_BYTES_MAX {
            return Err(format!(
                "the secret `{name}` is longer than SECRET_SIZE_BYTES_MAX ({SECRET_SIZE_BYTES_MAX} bytes)"
            ));
        }
        Ok(SecretString::from(text.to_owned()))
    }

    fn in_folder(&self, name: &str) -> Result<Option<String>, String> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!(
                "the file of the secret `{name}` cannot be read: {e}"
            )),
        }
    }

    fn missing(&self, name: &str, variable: &str) -> String {
        match &self.folder {
            None => format!(
                "the worker has no secret `{name}`: set {variable} in its environment, or give it a folder of secrets"
            ),
            Some(_) => format!(
                "the worker has no secret `{name}`: put a file of that name into its folder of secrets, or set {variable} in its environment"
            ),
        }
    }
}

/// A secret by its name, with what stands around it.
#[derive(Debug)]
pub struct SecretReference {
    pub name: String,
    pub prefix: String,
    pub suffix: String,
}

impl SecretReference {
    pub fn read(value: &Value, place: &str) -> Result<SecretReference, String> {
        if let Some(name) = value.as_str() {
            return Ok(SecretReference {
                name: name.to_owned(),
                prefix: String::new(),
                suffix: String::new(),
            });
        }
        let wrong = || format!("`{place}` takes a secret's name, or {{ name, prefix, suffix }}");
        let map = value.as_map().ok_or_else(wrong)?;
        let known = vec!["name", "prefix", "suffix"];
        known_keys(map, known, &format!("`{place}`"))?;
        let text = |key: &str| match map.get(key) {
            None => Ok(String::new()),
            Some(value) => value.as_str().map(str::to_owned).ok_or_else(wrong),
        };
        Ok(SecretReference {
            name: map
                .get("name")
                .and_then(Value::as_str)
                .ok_or_else(wrong)?
                .to_owned(),
            prefix: text("prefix")?,
            suffix: text("suffix")?,
        })
    }

    /// The text with the secret in it, which the redactor takes out of everything from now on.
    pub fn text(&self, secrets: &Secrets, redactor: &mut Redactor) -> Result<String, String> {
        let secret = secrets.get(&self.name)?;
        redactor.add(&secret);
        let (prefix, suffix) = (&self.prefix, &self.suffix);
        Ok(format!("{prefix}{}{suffix}", secret.expose_secret()))
    }
}

/// Takes the secrets that an attempt used out of texts and values, in each form in which they may come back.
#[derive(Default)]
pub struct Redactor {
    /// Longest first, so that one that holds another goes whole.
    forms: Vec<SecretString>,
}

impl Redactor {
    pub fn add(&mut self, secret: &SecretString) {
        let plain = secret.expose_secret();
        let standard = &base64::engine::general_purpose::STANDARD;
        let json = serde_json::Value::from(plain).to_string();
        let query: String = url::form_urlencoded::byte_serialize(plain.as_bytes()).collect();
        let forms = [
            plain.to_owned(),
            json[1..json.len() - 1].to_owned(),
            query.replace('+', "%20"),
            query,
            standard.encode(plain),
        ];
        // Nothing holds nothing: the task token of a run without a server is empty.
        for form in forms.into_iter().filter(|form| !form.is_empty()) {
            if !self.forms.iter().any(|f| f.expose_secret() == form) {
                self.forms.push(SecretString::from(form));
            }
        }
        self.forms
            .sort_by_key(|f| std::cmp::Reverse(f.expose_secret().len()));
    }

    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    pub fn text(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| {
            match text.contains(form.expose_secret()) {
                true => text.replace(form.expose_secret(), REDACTED),
                false => text,
            }
        })
    }

    /// Of a text whose end was cut off: what may be the beginning of a secret goes too.
    pub fn bytes_of_cut(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes(bytes);
        let longest = self.forms.first().map_or(1, |f| f.expose_secret().len());
        bytes.truncate((bytes.len() + 1).saturating_sub(longest));
        bytes
    }

    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.forms.iter().fold(bytes.to_vec(), |bytes, form| {
            replace(bytes, form.expose_secret().as_bytes())
        })
    }

    /// The value without them, keys and numbers included.
    pub fn value(&self, value: &Value) -> Value {
        if self.is_empty() {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::from(self.text(text)),
            Value::Bytes(bytes) => Value::Bytes(self.bytes(bytes).into()),
            Value::List(items) => Value::list(items.iter().map(|v| self.value(v)).collect()),
            Value::Map(map) => {
                let mut clean = Map::with_capacity(map.len());
                for (key, value) in map.iter() {
                    let key = match key {
                        Key::String(name) => Key::from(self.text(name)),
                        other => other.clone(),
                    };
                    clean.insert(key, self.value(value));
                }
                Value::map(clean)
            }
            Value::Int(_) | Value::Uint(_) | Value::Double(_) => self.number(value),
            other => other.clone(),
        }
    }

    fn number(&self, value: &Value) -> Value {
        let digits = match value {
            Value::Int(i) => i.to_string(),
            Value::Uint(u) => u.to_string(),
            Value::Double(d) => d.to_string(),
            _ => return value.clone(),
        };
        match self.forms.iter().any(|f| f.expose_secret() == digits) {
            true => Value::from(REDACTED),
            false => value.clone(),
        }
    }
}

fn replace(bytes: Vec<u8>, wanted: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some(at) = rest.windows(wanted.len()).position(|w| w == wanted) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(REDACTED.as_bytes());
        rest = &rest[at + wanted.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_before_the_environment_and_names_stay_inside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("TOKEN"), "from-a-file\n").unwrap();
        let secrets = Secrets {
            folder: Some(folder.path().to_owned()),
        };
        assert_eq!(secrets.get("TOKEN").unwrap().expose_secret(), "from-a-file");
        for name in ["../TOKEN", "a/b", "", ".hidden"] {
            assert!(
                secrets
                    .get(name)
                    .unwrap_err()
                    .contains("not a secret's name")
            );
        }
        let missing = secrets.get("NOWHERE").unwrap_err();
        assert!(missing.contains("SEGNO_SECRET_NOWHERE"), "{missing}");
    }

    #[test]
    fn an_empty_secret_takes_nothing_out() {
        let mut redactor = Redactor::default();
        redactor.add(&SecretString::from(""));
        assert_eq!(redactor.text("text"), "text");
        assert_eq!(redactor.bytes(b"bytes"), b"bytes");
        assert!(redactor.is_empty());
    }

    #[test]
    fn secrets_are_taken_out_in_every_form() {
        let mut redactor = Redactor::default();
        redactor.add(&SecretString::from("p\"a ss/1"));
        redactor.add(&SecretString::from("123456"));
        let encoded = base64::engine::general_purpose::STANDARD.encode("p\"a ss/1");
        let text = format!(r#"p"a ss/1 p\"a ss/1 p%22a+ss%2F1 p%22a%20ss%2F1 {encoded} 123456"#);
        let clean = "[redacted] [redacted] [redacted] [redacted] [redacted] [redacted]";
        assert_eq!(redactor.text(&text), clean);
        let value = crate::value::parse_json(
            br#"{"123456": [123456, "x123456y", {"a": "p\"a ss/1"}], "n": 12345}"#,
        )
        .unwrap();
        assert_eq!(
            crate::value::to_json_string(&redactor.value(&value)).unwrap(),
            r#"{"[redacted]":["[redacted]","x[redacted]y",{"a":"[redacted]"}],"n":12345}"#
        );
        assert_eq!(redactor.bytes(b"\xff123456\xff"), b"\xff[redacted]\xff");
    }
}
