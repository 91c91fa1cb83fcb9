//! Logs without secrets, whichever code writes them: all secrets that this process has read are removed from each line.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use super::Redactor;
use super::tokens::without_tokens;
use crate::limits::SECRETS_IN_LOGS_MAX;

/// The secrets that were read last, the newest at the end.
#[derive(Default)]
struct Known {
    secrets: VecDeque<SecretString>,
    redactor: Arc<Redactor>,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// Keeps the secret out of this process's logs from now on.
pub(crate) fn keep_out(secret: &SecretString) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_known = |one: &SecretString| one.expose_secret() == secret.expose_secret();
    if known.secrets.iter().any(is_known) {
        return;
    }
    known.secrets.push_back(secret.clone());
    if known.secrets.len() > SECRETS_IN_LOGS_MAX {
        known.secrets.pop_front();
    }
    let mut redactor = Redactor::default();
    known.secrets.iter().for_each(|secret| redactor.add(secret));
    known.redactor = Arc::new(redactor);
}

/// A text for the logs, without the secrets.
pub(crate) fn clean(text: &str) -> String {
    known().text(text)
}

/// False while a secret is being added: waiting for that might deadlock.
pub(crate) fn can_clean() -> bool {
    KNOWN.try_lock().is_ok()
}

fn known() -> Arc<Redactor> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.redactor.clone()
}

/// Writes whole lines, without secrets and task tokens.
pub(crate) struct Clean<W>(pub(crate) W);

impl<W: io::Write> io::Write for Clean<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let redactor = known();
        let clean = without_tokens(line);
        match redactor.is_empty() {
            true => self.0.write_all(&clean)?,
            false => self.0.write_all(&redactor.bytes(&clean))?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
