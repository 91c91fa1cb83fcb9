//! The connections of the codec server: an idle one is closed for a new one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::limits::CODEC_CONNECTIONS_MAX;

/// How long a client may take to read a large answer.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections, the oldest first.
#[derive(Default)]
pub(crate) struct Callers(VecDeque<Weak<Caller>>);

/// A connection.
#[derive(Default)]
pub(crate) struct Caller {
    /// Its request is complete and being processed.
    is_served: AtomicBool,
    /// Fires when it must be closed for another.
    pub(crate) gone: CancellationToken,
    /// The room of its large request, until the connection ends.
    room: Mutex<Option<OwnedSemaphorePermit>>,
    /// Notified when that was answered.
    answered: Notify,
}

impl Callers {
    /// Adds a connection; if there are too many, the one that has waited for its client for longest is closed.
    pub(crate) fn add(&mut self) -> Arc<Caller> {
        self.0.retain(|caller| caller.strong_count() > 0);
        if self.0.len() >= CODEC_CONNECTIONS_MAX {
            let waits = |caller: &Weak<Caller>| {
                let caller = caller.upgrade();
                caller.is_none_or(|caller| !caller.is_served.load(Ordering::Relaxed))
            };
            let at = self.0.iter().position(waits).unwrap_or(0);
            if let Some(caller) = self.0.remove(at).and_then(|caller| caller.upgrade()) {
                caller.gone.cancel();
            }
        }
        let caller = Arc::new(Caller::default());
        self.0.push_back(Arc::downgrade(&caller));
        caller
    }
}

impl Caller {
    /// Counts as busy until the result is dropped.
    pub(crate) fn served(self: &Arc<Self>) -> Served {
        self.is_served.store(true, Ordering::Relaxed);
        Served(self.clone())
    }

    /// Keeps the room of a large request, and of its answer.
    pub(crate) fn has(&self, room: OwnedSemaphorePermit) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
    }

    pub(crate) fn has_room(&self) -> bool {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.is_some()
    }

    /// Its large request was answered; the connection ends afterwards.
    pub(crate) fn is_answered(&self) {
        self.answered.notify_one();
    }

    /// Resolves once a large answer has waited for its reader for too long.
    pub(crate) async fn has_not_read(&self) {
        self.answered.notified().await;
        tokio::time::sleep(SEND_TIMEOUT).await;
    }
}

pub(crate) struct Served(Arc<Caller>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.is_served.store(false, Ordering::Relaxed);
    }
}
