//! Batches small pieces of work, such as the commits of small jobs.
//!
//! Items that arrive while a batch is being processed form the next batch, so the batch size adapts to the load and nothing
//! waits for a timer. The caller of an item gets its result when its batch is done. A batch that fails is repeated item by
//! item, so that one bad item fails alone. One that waited for a lock in vain is halved until the item is found that needs it.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::db::within;
use crate::{Error, Result};

type Reply<R> = oneshot::Sender<Result<R>>;

/// A handle to the task that does the work. Cheap to clone; the task ends with the last handle.
pub struct Batcher<T, R> {
    items: mpsc::Sender<(T, Reply<R>)>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone() }
    }
}

impl<T: Clone + Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the task. `flush` processes a batch of at most `max` items and returns one result for each, in order. It may hold
    /// connections to the database for as long as `limit`.
    pub fn start<F, Fut>(max: usize, limit: Duration, flush: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>>> + Send,
    {
        let (items, mut waiting) = mpsc::channel::<(T, Reply<R>)>(max);
        tokio::spawn(async move {
            let mut group = Vec::with_capacity(max);
            while waiting.recv_many(&mut group, max).await > 0 {
                process(limit, &flush, std::mem::take(&mut group)).await;
            }
        });
        Self { items }
    }

    /// Processes an item, together with the other waiting items. Returns its result.
    pub async fn run(&self, item: T) -> Result<R> {
        let (reply, result) = oneshot::channel();
        let gone = || Error::message("the batcher has stopped");
        self.items.send((item, reply)).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

/// Processes a batch. If it fails for one of its items, the others are processed without it.
async fn process<T, R, F, Fut>(limit: Duration, flush: &F, batch: Vec<(T, Reply<R>)>)
where
    T: Clone,
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<R>>>,
{
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        let values = part.iter().map(|(value, _)| value.clone()).collect();
        match within(limit, flush(values)).await {
            Ok(results) => {
                let mut results = results.into_iter();
                for (_, reply) in part {
                    let result = results.next().ok_or_else(|| Error::message("the batch returned no result"));
                    let _ = reply.send(result); // the caller may be gone
                }
            }
            // Each try waits for the lock again, so there are to be few of them.
            Err(error) if part.len() > 1 && error.is_blocked() => {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            }
            Err(error) if part.len() == 1 || error.is_unavailable() => {
                for (_, reply) in part {
                    let _ = reply.send(Err(error.copy()));
                }
            }
            Err(_) => parts.extend(part.into_iter().rev().map(|item| vec![item])),
        }
    }
}
