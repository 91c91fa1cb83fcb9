//! The file in which a program reports its progress: the last line, as JSON or else as a text.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::{Builder, NamedTempFile};

use crate::activity::attempt::Progress;
use crate::activity::secret::Redactor;
use crate::limits::EXEC_HEARTBEAT_SIZE_BYTES_MAX;
use crate::source::regular;
use crate::value::{Value, parse_foreign_json};

/// How often the file is checked. Temporal's core throttles the heartbeats.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) struct HeartbeatFile {
    file: NamedTempFile,
    /// The size and the time of the last change at the last check.
    seen: (u64, Option<SystemTime>),
}

impl HeartbeatFile {
    /// Only the worker's user can read it, and it is removed with the attempt.
    pub(crate) fn new(folder: Option<&Path>) -> io::Result<HeartbeatFile> {
        let mut builder = Builder::new();
        let file = builder.prefix("segno-heartbeat-");
        let file = match folder {
            Some(folder) => file.tempfile_in(folder)?,
            None => file.tempfile()?,
        };
        let seen = stamp(file.path())?;
        Ok(HeartbeatFile { file, seen })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reports what the program writes, until it is dropped.
    pub(crate) async fn follow(&mut self, progress: &Progress, redactor: &Redactor) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(progress, redactor);
        }
    }

    /// Reports what the program has written since the last check.
    pub(crate) fn look(&mut self, progress: &Progress, redactor: &Redactor) {
        match self.news() {
            Ok(Some(line)) => {
                let text = || Value::from(String::from_utf8_lossy(&line).trim());
                progress
                    .tell(redactor.value(&parse_foreign_json(&line).unwrap_or_else(|_| text())));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("a program's heartbeat cannot be read: {error}"),
        }
    }

    /// The last complete line, if the file has changed. It is opened again each time, since a program may replace it.
    fn news(&mut self) -> io::Result<Option<Vec<u8>>> {
        let now = stamp(self.path())?;
        if now == self.seen {
            return Ok(None);
        }
        let mut file = regular::open(self.path())?;
        let room = EXEC_HEARTBEAT_SIZE_BYTES_MAX as u64 + 2;
        let start = now.0.saturating_sub(room);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.take(room).read_to_end(&mut tail)?;
        let Some(end) = tail.iter().rposition(|b| *b == b'\n') else {
            return match start > 0 {
                true => self.too_long(now),
                // The line is incomplete.
                false => Ok(None),
            };
        };
        let before = tail[..end].iter().rposition(|b| *b == b'\n');
        let line = match before {
            None if start > 0 => return self.too_long(now),
            before => &tail[before.map_or(0, |at| at + 1)..end],
        };
        if line.len() > EXEC_HEARTBEAT_SIZE_BYTES_MAX {
            return self.too_long(now);
        }
        self.seen = now;
        Ok(Some(line.to_vec()))
    }

    fn too_long<T>(&mut self, now: (u64, Option<SystemTime>)) -> io::Result<T> {
        self.seen = now;
        Err(io::Error::other(format!(
            "its last line is longer than EXEC_HEARTBEAT_SIZE_BYTES_MAX ({EXEC_HEARTBEAT_SIZE_BYTES_MAX} bytes)"
        )))
    }
}

/// Only for a regular file: opening anything else might wait for ever.
fn stamp(path: &Path) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = std::fs::metadata(path)?;
    match metadata.is_file() {
        true => Ok((metadata.len(), metadata.modified().ok())),
        false => Err(io::Error::other("there is no file any more")),
    }
}
