//! Group commit for small jobs.
//!
//! Items that arrive while a group is being written form the next group, so the size follows the load and nothing waits
//! for a timer. An item's caller hears of it only when its group is committed. A group that fails is repeated item by
//! item, so that one bad item fails alone.

use std::future::Future;

use cairn_core::Result;
use tokio::sync::{mpsc, oneshot};

use crate::JobError;

type Reply<R> = oneshot::Sender<Result<R>>;

/// A handle to the task that writes. Cheap to clone; the task ends with the last handle.
pub(crate) struct Batcher<T, R> {
    items: mpsc::Sender<(T, Reply<R>)>,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone() }
    }
}

impl<T: Clone + Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the task. `flush` writes a group and returns one result for each item, in order.
    pub(crate) fn start<F, Fut>(max: usize, flush: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<R>>> + Send,
    {
        let (items, mut waiting) = mpsc::channel::<(T, Reply<R>)>(max);
        tokio::spawn(async move {
            let mut group = Vec::with_capacity(max);
            while waiting.recv_many(&mut group, max).await > 0 {
                let (values, replies): (Vec<T>, Vec<Reply<R>>) = group.drain(..).unzip();
                match flush(values.clone()).await {
                    Ok(results) => {
                        for (reply, result) in replies.into_iter().zip(results) {
                            let _ = reply.send(Ok(result)); // the job may have run into its deadline
                        }
                    }
                    Err(error) if values.len() == 1 || error.is_unavailable() => {
                        let text = error.to_string();
                        let mut error = Some(error);
                        for reply in replies {
                            let error = error.take().unwrap_or_else(|| cairn_core::Error::message(&*text));
                            let _ = reply.send(Err(error));
                        }
                    }
                    Err(_) => {
                        for (value, reply) in values.into_iter().zip(replies) {
                            let result = flush(vec![value]).await.and_then(|mut results| {
                                results.pop().ok_or_else(|| cairn_core::Error::message("the group had no result"))
                            });
                            let _ = reply.send(result);
                        }
                    }
                }
            }
        });
        Self { items }
    }

    /// Writes one item, together with whatever else waits. Returns when it is committed.
    pub(crate) async fn write(&self, item: T) -> Result<R, JobError> {
        let (reply, result) = oneshot::channel();
        let gone = || JobError::retry("the batcher has stopped");
        self.items.send((item, reply)).await.map_err(|_| gone())?;
        Ok(result.await.map_err(|_| gone())??)
    }
}
