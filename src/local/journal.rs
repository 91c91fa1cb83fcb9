//! What a run received from outside, in an SQLite file: applied again, in the same order at the same times, it brings
//! the run to where it was. A run that has ended keeps its outcome until it was printed.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::engine::failure::Failure;
use crate::engine::{StoredError, from_stored};
use crate::faults::Fault;
use crate::simulator::{AttemptKey, Outcome};
use crate::value::{Duration, Payload, Timestamp, Value};

/// Another process that is about to end releases the file within this time.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
/// Version of the tables below; a file of another version is refused.
const SCHEMA_VERSION: i64 = 3;
const SCHEMA: &str = "
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        workflow_id TEXT NOT NULL,
        workflow_type TEXT NOT NULL,
        input BLOB NOT NULL,
        begun_at INTEGER NOT NULL,
        ids INTEGER NOT NULL,
        logs_shown INTEGER NOT NULL DEFAULT 0,
        outcome BLOB,
        given INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX kept_run ON run (workflow_id) WHERE given = 0;
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
pub(crate) enum JournalError {
    #[error("cannot use {}: {}", .0.display(), .1)]
    Database(PathBuf, rusqlite::Error),
    #[error("another process runs a workflow from {}", .0.display())]
    Busy(PathBuf),
    #[error("{} was written by another version of Segno (schema {})", .0.display(), .1)]
    Version(PathBuf, i64),
    #[error("{} contains data that this version of Segno cannot read: {}", .0.display(), .1)]
    Malformed(PathBuf, StoredError),
}

/// How a run started; its number in the file belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Begun {
    pub(crate) id: i64,
    pub(crate) workflow_id: String,
    pub(crate) workflow_type: String,
    pub(crate) input: Vec<Payload>,
    pub(crate) begun_at: Timestamp,
    /// Drawn once: the run's ids differ from those of any other run, and are the same in every process.
    pub(crate) ids: u64,
    /// The packed definitions that the run and its children may be bound to.
    pub(crate) bundles: Vec<Vec<u8>>,
}

/// A run that has not ended, or whose outcome has not been printed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) begun: Begun,
    pub(crate) outcome: Option<Outcome>,
}

/// Something that came from outside, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    /// For how much of the time since the previous event the process was suspended.
    pub(crate) paused: Duration,
    /// The number of events in the histories of the run and of its children before this event, if it is the first of
    /// several that were written together. A different number in a later process reveals that another version of Segno
    /// wrote this.
    pub(crate) history_length: Option<usize>,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum What {
    /// Something was due, and the process acted on it now.
    Due,
    /// Another process continued the run.
    Resumed,
    /// The process ends: it records what it knows, and acts on nothing.
    Left,
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

pub(crate) struct Journal {
    path: PathBuf,
    connection: Connection,
}

impl Journal {
    /// The file belongs to this process alone until the journal is dropped.
    pub(crate) fn open(path: &Path) -> Result<Journal, JournalError> {
        let error = |e| of_database(path, e);
        let connection = Connection::open(path).map_err(error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(error)?;
        // Each event is on the disk before it takes effect.
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

    /// The run with this id that has not ended, or whose outcome has not been printed.
    pub(crate) fn kept(&self, workflow_id: &str) -> Result<Option<Kept>, JournalError> {
        let query = "SELECT id, workflow_type, input, begun_at, ids, outcome FROM run WHERE workflow_id = ? AND given = 0";
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
            let outcome: Option<Vec<u8>> = row.get(5)?;
            Ok((begun, row.get::<_, Vec<u8>>(2)?, outcome))
        });
        let found = row.optional().map_err(|e| of_database(&self.path, e))?;
        let Some((begun, input, outcome)) = found else {
            return Ok(None);
        };
        let bundles = "SELECT bytes FROM bundle WHERE run = ? ORDER BY rowid";
        let begun = Begun {
            input: self.read(&input)?,
            bundles: self.blobs(bundles, begun.id)?,
            ..begun
        };
        let outcome = outcome.map(|bytes| self.read(&bytes)).transpose()?;
        Ok(Some(Kept { begun, outcome }))
    }

    /// Adds a run with its first messages, and drops the run that it replaces. Sets the number in `begun`.
    pub(crate) fn begin(
        &mut self,
        begun: Begun,
        events: &[Event],
        instead_of: Option<i64>,
    ) -> Result<Begun, JournalError> {
        let input = self.write(&begun.input)?;
        let events = self.bodies(events)?;
        let begun_at = i64::try_from(begun.begun_at.as_nanos()).unwrap_or(i64::MAX);
        let id = self.at_once(|transaction| {
            if let Some(former) = instead_of {
                forget(transaction, former)?;
                transaction.execute(GIVEN, [former])?;
            }
            let insert = "INSERT INTO run (workflow_id, workflow_type, input, begun_at, ids) VALUES (?, ?, ?, ?, ?)";
            let values = params![
                begun.workflow_id,
                begun.workflow_type,
                input,
                begun_at,
                begun.ids.cast_signed()
            ];
            transaction.execute(insert, values)?;
            let id = transaction.last_insert_rowid();
            for bundle in &begun.bundles {
                let insert = "INSERT INTO bundle (run, bytes) VALUES (?, ?)";
                transaction.execute(insert, params![id, bundle])?;
            }
            append(transaction, id, &events)?;
            Ok(id)
        })?;
        Ok(Begun { id, ..begun })
    }

    /// All of them, or none.
    pub(crate) fn append(&mut self, run: i64, events: &[Event]) -> Result<(), JournalError> {
        let bodies = self.bodies(events)?;
        self.at_once(|transaction| append(transaction, run, &bodies))
    }

    /// Everything that the run received, in order.
    pub(crate) fn events(&self, run: i64) -> Result<Vec<Event>, JournalError> {
        let bodies = self.blobs("SELECT body FROM event WHERE run = ? ORDER BY number", run)?;
        bodies.iter().map(|body| self.read(body)).collect()
    }

    /// The number of lines of the run's log that were shown.
    pub(crate) fn logs_shown(&self, run: i64) -> Result<usize, JournalError> {
        let query = "SELECT logs_shown FROM run WHERE id = ?";
        let shown = self.connection.query_row(query, [run], |row| row.get(0));
        let shown: isize = shown.map_err(|e| of_database(&self.path, e))?;
        Ok(shown.cast_unsigned())
    }

    pub(crate) fn set_logs_shown(&self, run: i64, count: usize) -> Result<(), JournalError> {
        let update = "UPDATE run SET logs_shown = ? WHERE id = ?";
        self.execute(update, params![count.cast_signed(), run])
    }

    /// The run has ended: its events are dropped, and the outcome is kept until it was printed.
    pub(crate) fn close(&mut self, run: i64, outcome: &Outcome) -> Result<(), JournalError> {
        let outcome = self.write(outcome)?;
        let update = "UPDATE run SET outcome = ? WHERE id = ?";
        if Fault::JournalClosedInParts.is_on() {
            self.execute("DELETE FROM event WHERE run = ?", [run])?;
            self.execute("DELETE FROM bundle WHERE run = ?", [run])?;
            return self.execute(GIVEN, [run]);
        }
        self.at_once(|transaction| {
            forget(transaction, run)?;
            transaction.execute(update, params![outcome, run])?;
            Ok(())
        })
    }

    /// The outcome was printed: only the fact that the run existed is kept.
    pub(crate) fn given(&self, run: i64) -> Result<(), JournalError> {
        self.execute(GIVEN, [run])
    }

    /// Everything takes effect together, or nothing does.
    fn at_once<T>(
        &mut self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let error = |e| of_database(&self.path, e);
        let transaction = self.connection.transaction().map_err(error)?;
        let value = write(&transaction).map_err(error)?;
        transaction.commit().map_err(error)?;
        Ok(value)
    }

    fn bodies(&self, events: &[Event]) -> Result<Vec<Vec<u8>>, JournalError> {
        events.iter().map(|event| self.write(event)).collect()
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
        let malformed = |e| JournalError::Malformed(self.path.clone(), StoredError::Malformed(e));
        postcard::to_allocvec(value).map_err(malformed)
    }

    fn read<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<T, JournalError> {
        from_stored(bytes).map_err(|e| JournalError::Malformed(self.path.clone(), e))
    }
}

const GIVEN: &str = "UPDATE run SET given = 1, outcome = NULL WHERE id = ?";

fn append(connection: &Connection, run: i64, bodies: &[Vec<u8>]) -> rusqlite::Result<()> {
    let insert =
        "INSERT INTO event SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM event WHERE run = ?1";
    for body in bodies {
        connection.execute(insert, params![run, body])?;
    }
    Ok(())
}

fn forget(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM event WHERE run = ?", [run])?;
    connection.execute("DELETE FROM bundle WHERE run = ?", [run])?;
    Ok(())
}

fn of_database(path: &Path, error: rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            JournalError::Busy(path.to_owned())
        }
        _ => JournalError::Database(path.to_owned(), error),
    }
}
