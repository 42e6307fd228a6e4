//! The queue of password hashes: work that takes tens of milliseconds, done by a few threads of its own.
//!
//! The queue is bounded to what the threads do in about two seconds, because whoever waits longer has usually left, and without a
//! bound a flood of sign-ins with made-up addresses would be worked off for minutes while nobody else can sign in. What is
//! still waiting for a caller who has left is skipped.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::Block;
use tokio::sync::oneshot;

use crate::{Error, Result};

/// How much work may wait.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// As many tasks may wait in any case.
const MIN_BOUND: usize = 8;
/// How long a hash takes, until the first one has been measured.
const ASSUMED_DURATION: Duration = Duration::from_millis(50);

/// The memory of one hash. Threads keep theirs: when it was freed and allocated for each hash, the allocator permanently held
/// hundreds of megabytes after a few sign-ins.
pub(super) type Memory = Vec<Block>;

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

/// What a queue has to say about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashStats {
    /// Hashes that wait for a thread.
    pub waiting: usize,
    /// How many were refused because the queue was full.
    pub shed: u64,
    /// How many were not computed because their caller had left.
    pub skipped: u64,
}

/// A queue with its threads.
#[derive(Debug)]
pub(super) struct HashQueue {
    state: Mutex<State>,
    ready: Condvar,
}

struct State {
    tasks: VecDeque<Box<dyn Task>>,
    threads: usize,
    /// How long a hash has taken lately.
    duration: Duration,
    stats: HashStats,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("threads", &self.threads).field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// Something to compute, for somebody who waits for it.
trait Task: Send {
    fn is_abandoned(&self) -> bool;
    fn run(self: Box<Self>, memory: &mut Memory);
}

struct Reply<T, W> {
    work: W,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, W: FnOnce(&mut Memory) -> Result<T> + Send> Task for Reply<T, W> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut Memory) {
        let Self { work, reply } = *self;
        // A panic must not end the thread. Sending fails if the caller has left meanwhile, which is fine.
        let done = catch_unwind(AssertUnwindSafe(|| work(memory)));
        let failed = |_: Box<dyn Any + Send>| Err(Error::message("hashing panicked"));
        let _ = reply.send(done.unwrap_or_else(failed));
    }
}

impl HashQueue {
    /// A queue with this many threads, which end with the process.
    pub(super) fn new(threads: usize) -> Arc<Self> {
        let state = Mutex::new(State {
            tasks: VecDeque::new(),
            threads: 0,
            duration: ASSUMED_DURATION,
            stats: HashStats::default(),
        });
        let queue = Arc::new(Self { state, ready: Condvar::new() });
        for _ in 0..threads {
            Self::add_thread(&queue);
        }
        queue
    }

    fn add_thread(queue: &Arc<Self>) {
        queue.lock().threads += 1;
        let queue = Arc::clone(queue);
        std::thread::spawn(move || {
            let mut memory = Memory::new();
            loop {
                let task = queue.next();
                let started = Instant::now();
                task.run(&mut memory);
                queue.measured(started.elapsed());
            }
        });
    }

    /// Adds work, and returns where its result arrives. Refused if the queue is full, unless the caller is `patient`.
    pub(super) fn push<T: Send + 'static>(
        &self,
        is_patient: bool,
        work: impl FnOnce(&mut Memory) -> Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T>>, Overloaded> {
        let (reply, result) = oneshot::channel();
        let mut state = self.lock();
        if !is_patient && state.tasks.len() >= state.bound() {
            state.drop_abandoned();
            if state.tasks.len() >= state.bound() {
                state.stats.shed += 1;
                return Err(Overloaded);
            }
        }
        state.tasks.push_back(Box::new(Reply { work, reply }));
        drop(state);
        self.ready.notify_one();
        Ok(result)
    }

    pub(super) fn stats(&self) -> HashStats {
        let state = self.lock();
        HashStats { waiting: state.tasks.len(), ..state.stats }
    }

    /// Waits for the next task whose caller is still there.
    fn next(&self) -> Box<dyn Task> {
        let mut state = self.lock();
        loop {
            match state.tasks.pop_front() {
                Some(task) if task.is_abandoned() => state.stats.skipped += 1,
                Some(task) => return task,
                None => state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn measured(&self, duration: Duration) {
        let mut state = self.lock();
        state.duration = (state.duration * 7 + duration) / 8;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many tasks may wait: what the threads do in `MAX_WAIT`.
    fn bound(&self) -> usize {
        let each = MAX_WAIT.as_micros() / self.duration.as_micros().max(1);
        usize::try_from(each).unwrap_or(usize::MAX).saturating_mul(self.threads).max(MIN_BOUND)
    }

    fn drop_abandoned(&mut self) {
        let before = self.tasks.len();
        self.tasks.retain(|task| !task.is_abandoned());
        self.stats.skipped += u64::try_from(before - self.tasks.len()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_callers_who_left_are_skipped() {
        let (queue, ran) = (HashQueue::new(0), Arc::new(AtomicUsize::new(0)));
        let push = |is_patient| {
            let ran = Arc::clone(&ran);
            queue.push(is_patient, move |_| Ok(ran.fetch_add(1, Ordering::SeqCst)))
        };
        let mut waiting: Vec<_> = (0..MIN_BOUND).map(|_| push(false).unwrap()).collect();
        assert_eq!(push(false).unwrap_err(), Overloaded);
        assert_eq!(queue.stats(), HashStats { waiting: MIN_BOUND, shed: 1, skipped: 0 });
        let patient = push(true).unwrap();

        // Two leave, so there is room for one more.
        waiting.drain(..2).for_each(drop);
        waiting.push(push(false).unwrap());
        assert_eq!(queue.stats(), HashStats { waiting: MIN_BOUND, shed: 1, skipped: 2 });
        push(false).unwrap_err();

        // Three more leave; a thread computes what is left, in order.
        waiting.drain(..3).for_each(drop);
        HashQueue::add_thread(&queue);
        for (nth, result) in waiting.iter_mut().take(3).enumerate() {
            assert_eq!(result.await.unwrap().unwrap(), nth);
        }
        assert_eq!(patient.await.unwrap().unwrap(), 3);
        let last = push(false).unwrap().await.unwrap().unwrap();
        assert_eq!((last, queue.stats()), (5, HashStats { waiting: 0, shed: 2, skipped: 5 }));
    }

    #[tokio::test]
    async fn a_panic_ends_neither_the_thread_nor_the_process() {
        let queue = HashQueue::new(1);
        let result = queue.push::<()>(false, |_| panic!("on purpose")).unwrap().await.unwrap();
        assert!(result.unwrap_err().to_string().contains("panicked"));
        assert_eq!(queue.push(false, |_| Ok(7)).unwrap().await.unwrap().unwrap(), 7);
    }

    #[test]
    fn the_bound_follows_from_the_duration_of_hashes() {
        let queue = HashQueue::new(0);
        queue.lock().threads = 2;
        for (millis, bound) in [(50, 80), (20, 200), (1, 4000), (1000, MIN_BOUND)] {
            queue.lock().duration = Duration::from_millis(millis);
            assert_eq!(queue.lock().bound(), bound, "{millis}");
        }
        for _ in 0..100 {
            queue.measured(Duration::from_millis(100));
        }
        assert!((38..=40).contains(&queue.lock().bound()), "{}", queue.lock().bound());
    }
}
