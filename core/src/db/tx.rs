//! A transaction that collects jobs and inserts them right before its commit.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{Connection, Purpose};
use crate::actor::{Actor, Caller};
use crate::clock::Clock;
use crate::events::{self, UserEvent};
use crate::queue::{Job, NewJob, Notifier, Queue, insert_jobs};
use crate::transient::Transient;
use crate::{Error, Result, failpoint, repeat};

/// A database transaction. Jobs enqueued on it are inserted in one statement right before the commit, so the record and
/// its jobs are stored together or not at all. Workers are notified after the commit.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Tx {
    inner: Connection,
    jobs: Vec<NewJob>,
    /// Queues to notify after the commit, because a statement has made jobs due.
    queues: Vec<Queue>,
    /// Events to store right before the commit, with their users.
    events: Vec<(Uuid, UserEvent)>,
    /// Replies and users whose readers are notified after the commit.
    followed: Vec<Uuid>,
    notifier: Notifier,
    actor: Actor,
    clock: Clock,
}

impl Tx {
    pub(super) fn new(inner: Connection, notifier: Notifier, actor: Actor, clock: Clock) -> Self {
        Self {
            inner,
            jobs: Vec::new(),
            queues: Vec::new(),
            events: Vec::new(),
            followed: Vec::new(),
            notifier,
            actor,
            clock,
        }
    }

    /// On whose behalf the transaction acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The current time of the process. Where processes must agree, statements use `now()` of the database.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Has the limits of another purpose for the rest of the transaction.
    pub async fn limit_as(&mut self, purpose: Purpose) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(purpose.set_local())).execute(&mut *self.inner).await?;
        Ok(())
    }

    /// Enqueues a job: it exists if and only if this transaction commits.
    pub fn enqueue<J: Job>(&mut self, job: &J) -> Result<()> {
        self.jobs.push(NewJob::new(job, None)?);
        Ok(())
    }

    /// Enqueues a job that is due after `delay`, measured by the clock of the database.
    pub fn enqueue_in<J: Job>(&mut self, job: &J, delay: Duration) -> Result<()> {
        self.jobs.push(NewJob::new(job, Some(delay))?);
        Ok(())
    }

    /// Notifies the workers of `queue` after the commit, because a statement has made jobs due.
    pub(crate) fn notify_queue(&mut self, queue: Queue) {
        self.queues.push(queue);
    }

    /// Notifies the readers of a reply after the commit.
    pub(crate) fn notify_readers(&mut self, reply_id: Uuid) {
        self.followed.push(reply_id);
    }

    /// Adds an event for a user: it is stored if and only if this transaction commits.
    pub fn emit(&mut self, user_id: Uuid, event: UserEvent) {
        self.events.push((user_id, event));
        self.followed.push(user_id);
    }

    /// Commits the transaction with its jobs and events, then notifies the queues that have new jobs, and those who follow
    /// what has changed.
    pub async fn commit(mut self) -> Result<()> {
        if !self.jobs.is_empty() {
            insert_jobs(&mut self.inner, &self.jobs).await?;
        }
        if !self.events.is_empty() {
            events::insert(&mut self.inner, &self.events).await?;
        }
        repeat::commit_begins();
        if let Err(error) = self.inner.commit().await {
            // What the server refuses is rolled back. If it said nothing, or ended the connection, the commit may have taken place.
            let was_refused =
                error.as_database_error().is_some() && Transient::of(&error) != Some(Transient::Disconnected);
            if was_refused {
                repeat::commit_was_refused();
            }
            return Err(Error::from(error).of_commit(was_refused));
        }
        failpoint::pass(failpoint::AFTER_COMMIT);
        for job in &self.jobs {
            self.notifier.notify_queue_in(job.queue, job.delay.unwrap_or_default());
        }
        for queue in self.queues {
            self.notifier.notify_queue(queue);
        }
        self.followed.into_iter().for_each(|id| self.notifier.notify_readers(id));
        Ok(())
    }

    /// Rolls back now. A transaction that is dropped is rolled back soon after.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.inner.rollback().await?)
    }
}

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

/// A [`Tx`] on behalf of a signed-in user.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct UserTx {
    tx: Tx,
    caller: Caller,
}

impl UserTx {
    pub(super) fn new(tx: Tx, caller: Caller) -> Self {
        Self { tx, caller }
    }

    /// The signed-in user.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// As [`Tx::commit`].
    pub async fn commit(self) -> Result<()> {
        self.tx.commit().await
    }

    /// As [`Tx::rollback`].
    pub async fn rollback(self) -> Result<()> {
        self.tx.rollback().await
    }
}

impl Deref for UserTx {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl DerefMut for UserTx {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}

/// A read-only transaction whose statements see the same snapshot. It ends when it is dropped.
pub struct Snapshot {
    inner: Connection,
}

impl Snapshot {
    pub(super) fn new(inner: Connection) -> Self {
        Self { inner }
    }

    /// Ends it now.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.inner.rollback().await?)
    }
}

impl Deref for Snapshot {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Snapshot {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
