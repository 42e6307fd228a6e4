//! Hourly housekeeping: creates partitions and removes old data, in chunks that delay nothing else.
//!
//! Housekeeping never waits long. A part whose rows, tables or partitions somebody else has locked is left for the next time, and the
//! other parts are done: a transaction that hangs somewhere must not fill the disk everywhere.

mod rows;

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, PgPool};

use crate::settings::{self, Settings};
use crate::{Error, Result, Transient, db};

/// The maximum number of counters of attempts at passwords, which take about 50 MB with their indexes.
const MAX_ATTEMPT_ROWS: i64 = 200_000;

/// Runs one statement in a transaction that does not wait long. It is 0 if somebody is in the way.
macro_rules! once {
    ($run:expr, $part:literal, $connection:ident => $statement:expr) => {{
        let work = async {
            let mut connection = db::acquire($run.pool).await?;
            let mut tx = connection.begin().await?;
            sqlx::query!("SET LOCAL lock_timeout = '500ms'").execute(&mut *tx).await?;
            let $connection: &mut PgConnection = &mut tx;
            let rows = $statement.await?;
            tx.commit().await?;
            Ok::<u64, Error>(rows)
        };
        let result = work.await;
        $run.unless_locked($part, result)?
    }};
}

/// Repeats a statement that removes a few thousand rows.
macro_rules! repeat {
    ($run:expr, $part:literal, $connection:ident => $statement:expr) => {
        while {
            let rows = once!($run, $part, $connection => $statement);
            $run.should_continue(rows)
        } {}
    };
}

/// Removes old data for about as long as `budget`, and maintains the partitions. Returns whether everything is done; if not, it
/// has to be run again. What was left because it is locked counts as done: it is due again in the next run. Safe to repeat and to
/// run in several processes.
pub async fn run(pool: &PgPool, budget: Duration) -> Result<bool> {
    let settings = settings::load(&mut *db::acquire(pool).await?).await?;
    let mut run = Run { pool, end: Instant::now() + budget, removed: 0, all_done: true, locked: Vec::new() };
    let created = once!(run, "new partitions", c => create_partitions(c));
    let dropped = once!(run, "old partitions", c => drop_partitions(c, settings.activity_keep_months));
    run.prune_jobs(&settings).await?;
    run.prune_access(&settings).await?;
    run.prune_rows(&settings).await?;
    tracing::info!(
        partitions.created = created,
        partitions.dropped = dropped,
        rows.removed = run.removed,
        done = run.all_done,
        locked = run.locked.join(", "),
        "housekeeping"
    );
    Ok(run.all_done)
}

/// One run.
struct Run<'a> {
    pool: &'a PgPool,
    end: Instant,
    removed: u64,
    all_done: bool,
    /// The parts that were left because others had locked something.
    locked: Vec<&'static str>,
}

impl Run<'_> {
    /// What a statement did; nothing if somebody was in the way.
    fn unless_locked(&mut self, part: &'static str, result: Result<u64>) -> Result<u64> {
        match result {
            Err(error) if matches!(error.transient(), Some(Transient::Locked | Transient::Conflict)) => {
                tracing::info!(part, error = %error, "somebody uses what housekeeping would change; it is left for the next time");
                self.locked.push(part);
                Ok(0)
            }
            result => result,
        }
    }

    /// Whether to repeat a statement that has removed so many rows: until no rows are left or the time is up. Each statement runs at
    /// least once, so that every run makes progress.
    fn should_continue(&mut self, rows: u64) -> bool {
        self.removed += rows;
        let is_out_of_time = rows > 0 && Instant::now() >= self.end;
        self.all_done &= !is_out_of_time;
        rows > 0 && !is_out_of_time
    }

    /// Removes old jobs of all queues, including unknown ones, and workers of earlier starts that no longer hold jobs.
    async fn prune_jobs(&mut self, settings: &Settings) -> Result<()> {
        let mut queues = Vec::new();
        once!(self, "queues", c => rows::read_queues(c, &mut queues));
        let (done_hours, dead_days) = (settings.keep_done_hours, settings.keep_dead_days);
        for queue in &queues {
            repeat!(self, "done jobs", c => rows::remove_done_jobs(c, queue, done_hours));
            repeat!(self, "dead jobs", c => rows::remove_dead_jobs(c, queue, dead_days));
        }
        once!(self, "workers", c => rows::remove_workers(c));
        Ok(())
    }

    /// Removes expired sessions (with their refresh tokens, of which each has few), expired one-time links, devices that have not
    /// signed in for long, and attempts at passwords that are forgotten.
    async fn prune_access(&mut self, settings: &Settings) -> Result<()> {
        let session_days = settings.keep_ended_session_days;
        repeat!(self, "sessions", c => rows::remove_sessions(c, session_days));
        repeat!(self, "password resets", c => rows::remove_password_resets(c));
        repeat!(self, "email verifications", c => rows::remove_email_verifications(c));
        repeat!(self, "devices", c => rows::remove_devices(c));
        repeat!(self, "attempts", c => rows::remove_attempts(c));
        once!(self, "excess attempts", c => rows::remove_excess_attempts(c, MAX_ATTEMPT_ROWS));
        Ok(())
    }

    /// Removes old idempotency keys, the chunks of finished replies, whose text is stored as a message, old events of users, old
    /// identifiers of content changes, old try-outs and evaluations of instructions, what was spent long ago, old addresses and
    /// browsers of users, and old counts.
    ///
    /// `active_quarters` is kept: the statistics answer for any day, however long ago, and those of a day are computed from it
    /// again when a learner of that day is deleted or gets another role. It grows by one row for each quarter of an hour in which
    /// a user is active, and the rows of a user go with the user.
    async fn prune_rows(&mut self, settings: &Settings) -> Result<()> {
        let (reply_days, origin_days) = (settings.keep_failed_reply_days, settings.keep_origin_days);
        repeat!(self, "idempotency keys", c => rows::remove_idempotency_keys(c));
        repeat!(self, "chunks of replies", c => rows::remove_reply_chunks(c, reply_days));
        repeat!(self, "events", c => rows::remove_user_events(c));
        repeat!(self, "changes of content", c => rows::remove_catalog_changes(c));
        repeat!(self, "try-outs", c => rows::remove_tryouts(c));
        repeat!(self, "runs of evaluations", c => rows::remove_evaluation_runs(c));
        repeat!(self, "spending", c => rows::remove_spending(c));
        repeat!(self, "warnings of budgets", c => rows::remove_budget_warnings(c));
        repeat!(self, "origins of activity", c => rows::remove_origins_of_activity(c, origin_days));
        repeat!(self, "origins of sessions", c => rows::remove_origins_of_sessions(c, origin_days));
        once!(self, "counts of jobs", c => rows::remove_job_counts(c));
        Ok(())
    }
}

/// Creates the next monthly partitions. Waits for sessions that use the log, and blocks others meanwhile.
async fn create_partitions(connection: &mut PgConnection) -> Result<u64> {
    let created = sqlx::query_scalar!(r#"SELECT create_activity_partitions(now(), 3) AS "created!""#);
    Ok(created.fetch_one(connection).await?.unsigned_abs().into())
}

/// Drops the partitions that are older than the retention. It, too, waits for sessions that use the log.
async fn drop_partitions(connection: &mut PgConnection, keep_months: i32) -> Result<u64> {
    let dropped = sqlx::query_scalar!(r#"SELECT drop_activity_partitions(now(), $1) AS "dropped!""#, keep_months);
    Ok(dropped.fetch_one(connection).await?.unsigned_abs().into())
}
