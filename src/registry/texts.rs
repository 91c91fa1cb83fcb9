//! The texts of definitions and libraries, each in memory once.
//!
//! Each bundle has the text of everything that its definition uses, and each program keeps it for the places in
//! messages. Without this, a library would be in memory once for each definition that uses it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::source::Sources;

/// Entries of texts that are no longer used are removed when there are this many more than the last time.
const SWEEP_EVERY: usize = 64;

/// Shorter texts take no more memory than an entry.
const TEXT_SIZE_BYTES_MIN: usize = 1024;

static TEXTS: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);

/// Only memory use depends on its content.
#[derive(Default)]
struct Texts {
    /// Clients choose the texts, so the key of the hash is random. If several texts have one hash, the last is known.
    known: HashMap<u64, Known>,
    hashes: RandomState,
    sweep_at: usize,
}

struct Known {
    text: Weak<str>,
    line_starts: Weak<[u32]>,
}

/// Replaces texts by equal ones that are already in memory.
pub(crate) fn share(sources: &mut Sources) {
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    sources.share(|text, line_starts| texts.shared(text, line_starts));
}

impl Texts {
    fn shared(&mut self, text: &mut Arc<str>, line_starts: &mut Arc<[u32]>) {
        if text.len() < TEXT_SIZE_BYTES_MIN {
            return;
        }
        let hash = self.hashes.hash_one(&**text);
        let known = self.known.get(&hash);
        let known = known.and_then(|k| Some((k.text.upgrade()?, k.line_starts.upgrade()?)));
        match known {
            Some((other, of_other)) if other == *text => {
                (*text, *line_starts) = (other, of_other);
            }
            _ => self.remember(hash, text, line_starts),
        }
    }

    fn remember(&mut self, hash: u64, text: &Arc<str>, line_starts: &Arc<[u32]>) {
        let known = Known {
            text: Arc::downgrade(text),
            line_starts: Arc::downgrade(line_starts),
        };
        self.known.insert(hash, known);
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, known| known.text.strong_count() > 0);
            self.sweep_at = self.known.len() + SWEEP_EVERY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    #[test]
    fn one_text_is_in_memory_once_as_long_as_somebody_has_it() {
        let text = "a line\n".repeat(TEXT_SIZE_BYTES_MIN);
        let mut texts = Texts::default();
        let mut read = |path: &str, text: &str| {
            let mut sources = Sources::default();
            sources.add(path, text);
            sources.share(|text, starts| texts.shared(text, starts));
            sources
        };
        let (one, other) = (read("a.yaml", &text), read("b.yaml", &text));
        let different = read("a.yaml", &text.replace("line", "lime"));
        let of = |sources: &Sources| sources.file(FileId(0)).text.clone();
        assert!(Arc::ptr_eq(&of(&one), &of(&other)));
        assert_eq!(&*other.file(FileId(0)).path, "b.yaml");
        assert_eq!(of(&different).len(), text.len());
        assert!(!Arc::ptr_eq(&of(&one), &of(&different)));
        drop((one, other, different));
        // Dropped texts leave entries, up to a bound.
        for number in 0..3 * SWEEP_EVERY {
            read("a.yaml", &format!("{number}{text}"));
        }
        assert!(
            texts.known.len() <= SWEEP_EVERY + 1,
            "{}",
            texts.known.len()
        );
    }
}
