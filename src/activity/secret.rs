//! Secrets by name, from the worker's environment or files.

use std::io;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::input::known_keys;
pub(crate) use super::redact::Redactor;
use super::redact::{logs, parts};
use crate::limits::{SECRET_PARTS_MAX, SECRET_SIZE_BYTES_MAX};
use crate::source::regular;
use crate::value::Value;

/// The secret `NAME` is the environment variable `SEGNO_SECRET_NAME`.
pub(crate) const SECRET_VARIABLE_PREFIX: &str = "SEGNO_SECRET_";

/// Where secrets are looked up. They are read again each time, so a rotated one takes effect immediately.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// A folder whose file `NAME` contains the secret `NAME`; it takes precedence over the environment.
    pub folder: Option<PathBuf>,
}

impl Secrets {
    /// An error names what was looked up, never what was found.
    pub(crate) fn get(&self, name: &str) -> Result<SecretString, String> {
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
        if parts(text).len() > SECRET_PARTS_MAX {
            return Err(format!(
                "the secret `{name}` consists of more than SECRET_PARTS_MAX ({SECRET_PARTS_MAX}) fields or lines; each of them would have to be redacted"
            ));
        }
        let secret = SecretString::from(text.to_owned());
        logs::keep_out(&secret);
        Ok(secret)
    }

    fn in_folder(&self, name: &str) -> Result<Option<String>, String> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let bytes = regular::read(&folder.join(name), SECRET_SIZE_BYTES_MAX);
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
        match text {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
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

/// A secret by its name, with the text around it.
#[derive(Debug)]
pub(crate) struct SecretReference {
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) suffix: String,
}

impl SecretReference {
    pub(crate) fn read(value: &Value, place: &str) -> Result<SecretReference, String> {
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

    /// The text with the secret in it, which the redactor removes from everything from now on.
    pub(crate) fn text(
        &self,
        secrets: &Secrets,
        redactor: &mut Redactor,
    ) -> Result<String, String> {
        let secret = secrets.get(&self.name)?;
        redactor.add(&secret);
        let (prefix, suffix) = (&self.prefix, &self.suffix);
        Ok(format!("{prefix}{}{suffix}", secret.expose_secret()))
    }
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
}
