//! Which streams are open, and for what.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::Limits;

/// Why no further stream can be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The user has as many as they may.
    User(usize),
    /// The process has.
    Process,
}

pub(super) struct Registry {
    limits: Limits,
    open: Mutex<Open>,
    hears: AtomicBool,
    /// Told when a stream is opened.
    entered: Notify,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_user: HashMap<Uuid, usize>,
    /// Wakes the readers of a reply; each sees for itself whether it was woken since it last looked.
    by_reply: HashMap<Uuid, watch::Sender<()>>,
}

impl Registry {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::default(), hears: AtomicBool::new(false), entered: Notify::new() }
    }

    /// A seat for a reader.
    pub(super) fn enter(self: &Arc<Self>, user_id: Uuid, reply_id: Uuid) -> Result<Seat, Full> {
        let mut open = self.open();
        if open.total >= self.limits.total {
            return Err(Full::Process);
        }
        let of_user = open.by_user.entry(user_id).or_default();
        if *of_user >= self.limits.per_user {
            return Err(Full::User(self.limits.per_user));
        }
        *of_user += 1;
        open.total += 1;
        let woken = open.by_reply.entry(reply_id).or_insert_with(|| watch::channel(()).0).subscribe();
        drop(open);
        self.entered.notify_one();
        Ok(Seat { registry: self.clone(), user_id, reply_id, woken })
    }

    /// Until somebody enters.
    pub(super) async fn entered(&self) {
        self.entered.notified().await;
    }

    /// Wakes the readers of a reply.
    pub(super) fn wake(&self, reply_id: Uuid) {
        if let Some(readers) = self.open().by_reply.get(&reply_id) {
            readers.send_replace(());
        }
    }

    /// Notes whether announcements are heard, and wakes everybody: what was announced before a connection was made, or
    /// after it was lost, has not been heard.
    pub(super) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Release);
        self.open().by_reply.values().for_each(|readers| readers.send_replace(()));
    }

    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Acquire)
    }

    pub(super) fn open_count(&self) -> usize {
        self.open().total
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open stream; dropping it makes room.
pub(super) struct Seat {
    pub(super) registry: Arc<Registry>,
    user_id: Uuid,
    reply_id: Uuid,
    woken: watch::Receiver<()>,
}

impl Seat {
    /// Until the reader is woken, if it has not been since the last time.
    pub(super) async fn woken(&mut self) {
        // The sender stays in the registry while this seat is taken.
        let _ = self.woken.changed().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.registry.open();
        open.total -= 1;
        if let Entry::Occupied(mut of_user) = open.by_user.entry(self.user_id) {
            *of_user.get_mut() -= 1;
            if *of_user.get() == 0 {
                of_user.remove();
            }
        }
        // This seat's own receiver is still there.
        if let Entry::Occupied(readers) = open.by_reply.entry(self.reply_id)
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
    fn seats_are_limited_and_given_back() {
        let registry = Arc::new(Registry::new(Limits { total: 3, per_user: 2 }));
        let first = registry.enter(id(1), id(10)).unwrap();
        let _second = registry.enter(id(1), id(10)).unwrap();
        assert_eq!(registry.enter(id(1), id(11)).err(), Some(Full::User(2)));
        let _third = registry.enter(id(2), id(12)).unwrap();
        assert_eq!(registry.enter(id(3), id(13)).err(), Some(Full::Process));
        assert_eq!(registry.open_count(), 3);
        drop(first);
        let _fourth = registry.enter(id(1), id(11)).unwrap();
        assert_eq!(registry.open().by_reply.len(), 3);
    }

    #[test]
    fn nothing_is_left_of_those_who_have_gone() {
        let registry = Arc::new(Registry::new(Limits::default()));
        let seats: Vec<Seat> = (0..100).map(|n| registry.enter(id(n % 20), id(n % 7)).unwrap()).collect();
        drop(seats);
        let open = registry.open();
        assert!(open.total == 0 && open.by_user.is_empty() && open.by_reply.is_empty());
    }

    #[tokio::test]
    async fn a_reader_is_woken_for_its_reply_also_when_it_is_not_waiting() {
        let registry = Arc::new(Registry::new(Limits::default()));
        let mut mine = registry.enter(id(1), id(10)).unwrap();
        let mut other = registry.enter(id(1), id(11)).unwrap();
        registry.wake(id(10));
        registry.wake(id(99));
        mine.woken().await;
        assert!(!other.woken.has_changed().unwrap());
        registry.set_hears(true);
        mine.woken().await;
        other.woken().await;
    }
}
