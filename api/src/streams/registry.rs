//! The open streams, by what they follow and by user.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// How many streams may be open in this process.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In total.
    pub total: usize,
    /// By one user.
    pub per_user: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 2000, per_user: 8 }
    }
}

/// Why no further stream can be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The user has reached their limit, which is given.
    User(usize),
    /// The process has reached its limit.
    Process,
}

pub(super) struct Registry {
    limits: Limits,
    streams: Mutex<OpenStreams>,
    listening: AtomicBool,
    /// Notified when a stream is opened.
    opened: Notify,
}

#[derive(Default)]
struct OpenStreams {
    total: usize,
    by_user: HashMap<Uuid, usize>,
    /// Wakes those who follow a reply or the events of a user. Each sees whether it was woken since it last waited.
    by_followed: HashMap<Uuid, watch::Sender<()>>,
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, streams: Mutex::default(), listening: AtomicBool::new(false), opened: Notify::new() }
    }

    /// Opens a stream for a user who follows a reply, or the events of a user.
    pub(super) fn open(self: &Arc<Self>, user_id: Uuid, followed: Uuid) -> Result<StreamGuard, Full> {
        let mut streams = self.streams();
        if streams.total >= self.limits.total {
            return Err(Full::Process);
        }
        let of_user = streams.by_user.entry(user_id).or_default();
        if *of_user >= self.limits.per_user {
            return Err(Full::User(self.limits.per_user));
        }
        *of_user += 1;
        streams.total += 1;
        let woken = streams.by_followed.entry(followed).or_insert_with(|| watch::channel(()).0).subscribe();
        drop(streams);
        self.opened.notify_one();
        Ok(StreamGuard { registry: self.clone(), user_id, followed, woken })
    }

    /// Waits until a stream is opened.
    pub(super) async fn opened(&self) {
        self.opened.notified().await;
    }

    /// Wakes those who follow a reply or the events of a user.
    pub(super) fn wake(&self, followed: Uuid) {
        if let Some(readers) = self.streams().by_followed.get(&followed) {
            readers.send_replace(());
        }
    }

    /// Records whether the listener is connected, and wakes all readers, because notifications that were sent while it was
    /// not connected were missed.
    pub(super) fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::Release);
        self.streams().by_followed.values().for_each(|readers| readers.send_replace(()));
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    pub(super) fn open_count(&self) -> usize {
        self.streams().total
    }

    fn streams(&self) -> MutexGuard<'_, OpenStreams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open stream. Dropping it closes the stream.
pub(super) struct StreamGuard {
    pub(super) registry: Arc<Registry>,
    user_id: Uuid,
    followed: Uuid,
    woken: watch::Receiver<()>,
}

impl StreamGuard {
    /// Waits until the reader is woken; returns at once if it was woken since the last call.
    pub(super) async fn woken(&mut self) {
        // The sender stays in the registry while this stream is open.
        let _ = self.woken.changed().await;
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut streams = self.registry.streams();
        streams.total -= 1;
        if let Entry::Occupied(mut of_user) = streams.by_user.entry(self.user_id) {
            *of_user.get_mut() -= 1;
            if *of_user.get() == 0 {
                of_user.remove();
            }
        }
        // This stream's own receiver still exists.
        if let Entry::Occupied(readers) = streams.by_followed.entry(self.followed)
            && readers.get().receiver_count() <= 1
        {
            readers.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn streams_are_limited_until_others_are_closed() {
        let registry = Arc::new(Registry::new(Limits { total: 3, per_user: 2 }));
        let first = registry.open(id(1), id(10)).unwrap();
        let _second = registry.open(id(1), id(10)).unwrap();
        assert_eq!(registry.open(id(1), id(11)).err(), Some(Full::User(2)));
        let _third = registry.open(id(2), id(12)).unwrap();
        assert_eq!(registry.open(id(3), id(13)).err(), Some(Full::Process));
        assert_eq!(registry.open_count(), 3);
        drop(first);
        let _fourth = registry.open(id(1), id(11)).unwrap();
        assert_eq!(registry.streams().by_followed.len(), 3);
    }

    #[test]
    fn closed_streams_leave_nothing_behind() {
        let registry = Arc::new(Registry::new(Limits::default()));
        let guards: Vec<StreamGuard> = (0..100).map(|n| registry.open(id(n % 20), id(n % 7)).unwrap()).collect();
        drop(guards);
        let streams = registry.streams();
        assert!(streams.total == 0 && streams.by_user.is_empty() && streams.by_followed.is_empty());
    }

    #[tokio::test]
    async fn a_reader_is_woken_for_its_reply_even_when_it_is_not_waiting() {
        let registry = Arc::new(Registry::new(Limits::default()));
        let mut mine = registry.open(id(1), id(10)).unwrap();
        let mut other = registry.open(id(1), id(11)).unwrap();
        registry.wake(id(10));
        registry.wake(id(99));
        mine.woken().await;
        assert!(!other.woken.has_changed().unwrap());
        registry.set_listening(true);
        mine.woken().await;
        other.woken().await;
    }
}
