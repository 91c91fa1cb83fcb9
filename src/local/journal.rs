//! What came to a run from outside, in an SQLite file: told again, in the same order at the same times, it brings the
//! run to where it was.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::engine::failure::Failure;
use crate::simulator::AttemptKey;
use crate::value::{Payload, Timestamp, Value};

/// Another process that is about to end lets go of the file within this time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Of the tables below; a file of another version is refused.
const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = "
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        workflow_id TEXT NOT NULL,
        workflow_type TEXT NOT NULL,
        input BLOB NOT NULL,
        begun_at INTEGER NOT NULL,
        ids INTEGER NOT NULL,
        logs_shown INTEGER NOT NULL DEFAULT 0,
        closed INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX open_run ON run (workflow_id) WHERE closed = 0;
    CREATE TABLE bundle (
        run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        bytes BLOB NOT NULL
    );
    CREATE TABLE event (
        run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (run, number)
    ) WITHOUT ROWID;
";

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot use {}: {}", .0.display(), .1)]
    Database(PathBuf, rusqlite::Error),
    #[error("another process runs a workflow from {}", .0.display())]
    Busy(PathBuf),
    #[error("{} was written by another version of Segno (schema {})", .0.display(), .1)]
    Version(PathBuf, i64),
    #[error("{} holds what this version of Segno cannot read: {}", .0.display(), .1)]
    Malformed(PathBuf, postcard::Error),
}

/// How a run began; its number in the file goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    pub id: i64,
    pub workflow_id: String,
    pub workflow_type: String,
    pub input: Vec<Payload>,
    pub begun_at: Timestamp,
    /// Drawn once: the run's ids are other ones than those of any other run, and the same again in every process.
    pub ids: u64,
    /// The packed definitions that the run and its children may be bound to.
    pub bundles: Vec<Vec<u8>>,
}

/// Something that came from outside, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum What {
    /// An attempt of an activity ended.
    Attempt {
        attempt: AttemptKey,
        result: Result<Value, Failure>,
    },
    Heartbeat {
        attempt: AttemptKey,
        details: Vec<Value>,
    },
    Cancel {
        reason: String,
    },
    Signal {
        name: String,
        input: Vec<Payload>,
    },
}

pub struct Journal {
    path: PathBuf,
    connection: Connection,
}

impl Journal {
    /// The file is this process's alone until the journal is dropped.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let error = |e| of_database(path, e);
        let connection = Connection::open(path).map_err(error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
        // Each event is on the disk before anything is made of it.
        let pragmas = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON; BEGIN EXCLUSIVE; COMMIT;";
        connection.execute_batch(pragmas).map_err(error)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        match version.map_err(error)? {
            0 => {
                let create =
                    format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
                connection.execute_batch(&create).map_err(error)?;
            }
            SCHEMA_VERSION => {}
            other => return Err(JournalError::Version(path.to_owned(), other)),
        }
        Ok(Journal {
            path: path.to_owned(),
            connection,
        })
    }

    /// The run with this id that has not come to its end.
    pub fn open_run(&self, workflow_id: &str) -> Result<Option<Begun>, JournalError> {
        let query = "SELECT id, workflow_type, input, begun_at, ids FROM run WHERE workflow_id = ? AND closed = 0";
        let row = self.connection.query_row(query, [workflow_id], |row| {
            let begun = Begun {
                id: row.get(0)?,
                workflow_id: workflow_id.to_owned(),
                workflow_type: row.get(1)?,
                input: Vec::new(),
                begun_at: Timestamp::from_nanos(row.get::<_, i64>(3)?.into()).unwrap_or_default(),
                ids: row.get::<_, i64>(4)?.cast_unsigned(),
                bundles: Vec::new(),
            };
            Ok((begun, row.get::<_, Vec<u8>>(2)?))
        });
        let found = row.optional().map_err(|e| of_database(&self.path, e))?;
        let Some((begun, input)) = found else {
            return Ok(None);
        };
        let bundles = "SELECT bytes FROM bundle WHERE run = ? ORDER BY rowid";
        Ok(Some(Begun {
            input: self.read(&input)?,
            bundles: self.blobs(bundles, begun.id)?,
            ..begun
        }))
    }

    /// Adds a run; the number that it gets takes the place of the one in `begun`.
    pub fn begin(&mut self, begun: Begun) -> Result<Begun, JournalError> {
        let input = self.write(&begun.input)?;
        let error = |e| of_database(&self.path, e);
        let transaction = self.connection.transaction().map_err(error)?;
        let insert = "INSERT INTO run (workflow_id, workflow_type, input, begun_at, ids) VALUES (?, ?, ?, ?, ?)";
        let begun_at = i64::try_from(begun.begun_at.as_nanos()).unwrap_or(i64::MAX);
        let values = params![
            begun.workflow_id,
            begun.workflow_type,
            input,
            begun_at,
            begun.ids.cast_signed()
        ];
        transaction.execute(insert, values).map_err(error)?;
        let id = transaction.last_insert_rowid();
        for bundle in &begun.bundles {
            let insert = "INSERT INTO bundle (run, bytes) VALUES (?, ?)";
            transaction
                .execute(insert, params![id, bundle])
                .map_err(error)?;
        }
        transaction.commit().map_err(error)?;
        Ok(Begun { id, ..begun })
    }

    pub fn append(&self, run: i64, event: &Event) -> Result<(), JournalError> {
        let body = self.write(event)?;
        let insert = "INSERT INTO event SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM event WHERE run = ?1";
        self.execute(insert, params![run, body])
    }

    /// All that came to the run, in the order in which it came.
    pub fn events(&self, run: i64) -> Result<Vec<Event>, JournalError> {
        let bodies = self.blobs("SELECT body FROM event WHERE run = ? ORDER BY number", run)?;
        bodies.iter().map(|body| self.read(body)).collect()
    }

    /// How many lines of the run's log somebody has seen.
    pub fn logs_shown(&self, run: i64) -> Result<usize, JournalError> {
        let query = "SELECT logs_shown FROM run WHERE id = ?";
        let shown = self.connection.query_row(query, [run], |row| row.get(0));
        let shown: isize = shown.map_err(|e| of_database(&self.path, e))?;
        Ok(shown.cast_unsigned())
    }

    pub fn set_logs_shown(&self, run: i64, count: usize) -> Result<(), JournalError> {
        let update = "UPDATE run SET logs_shown = ? WHERE id = ?";
        self.execute(update, params![count.cast_signed(), run])
    }

    /// The run came to its end: what is kept of it is that it was.
    pub fn close(&self, run: i64) -> Result<(), JournalError> {
        self.execute("DELETE FROM event WHERE run = ?", [run])?;
        self.execute("DELETE FROM bundle WHERE run = ?", [run])?;
        self.execute("UPDATE run SET closed = 1 WHERE id = ?", [run])
    }

    fn execute(&self, statement: &str, values: impl rusqlite::Params) -> Result<(), JournalError> {
        let done = self.connection.execute(statement, values);
        done.map(drop).map_err(|e| of_database(&self.path, e))
    }

    fn blobs(&self, query: &str, run: i64) -> Result<Vec<Vec<u8>>, JournalError> {
        let read = || {
            let mut statement = self.connection.prepare(query)?;
            let rows = statement.query_map([run], |row| row.get(0))?;
            rows.collect::<Result<Vec<_>, rusqlite::Error>>()
        };
        read().map_err(|e| of_database(&self.path, e))
    }

    fn write(&self, value: &impl Serialize) -> Result<Vec<u8>, JournalError> {
        postcard::to_allocvec(value).map_err(|e| JournalError::Malformed(self.path.clone(), e))
    }

    fn read<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<T, JournalError> {
        postcard::from_bytes(bytes).map_err(|e| JournalError::Malformed(self.path.clone(), e))
    }
}

fn of_database(path: &Path, error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            JournalError::Busy(path.to_owned())
        }
        _ => JournalError::Database(path.to_owned(), error),
    }
}
