//! Times that lie ahead because the clock of the database was set back.
//!
//! Where processes must agree on the time, the clock of the database counts. When it is set back, by an operator, a time server or a
//! failover to a machine whose clock was right, what has been stored before lies ahead: a snoozed job is not due, a marker is
//! not old enough, a lost worker seems to have sent a heartbeat just now. Each of these would heal by itself once the clock has caught up,
//! which may take an hour or a year. Here they are moved to now.
//!
//! How far the clock was set back is known from a mark ([`heal`]). What lies further ahead than it can without that is moved in
//! any case, so it does not matter how it got there.

use std::time::Duration;

use sqlx::PgConnection;

use crate::Result;
use crate::db::Tx;
use crate::queue::Queue;

/// How often the mark is moved and stored times are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// A clock that is behind its mark by less was adjusted, or is that of a transaction that began a little earlier.
const TOLERANCE: Duration = Duration::from_secs(2);

/// A time of something that has happened cannot be further ahead than this. Transactions that take longer are not concerned: what
/// they have stored lies in the past.
const AHEAD: Duration = Duration::from_mins(1);

/// Nothing is snoozed for longer: replies wait for their provider for half an hour, and half as long again for each other.
const LONGEST_SNOOZE: Duration = Duration::from_mins(45);

/// No failed job waits for longer: a provider may ask for a day.
const LONGEST_BACKOFF: Duration = Duration::from_hours(25);

/// Moves what lies ahead, unless that was done a moment ago. Returns how many rows were moved. Several processes may call it at the same
/// time: one of them does it, and none waits.
pub async fn heal(tx: &mut Tx) -> Result<u64> {
    let mark = sqlx::query!(
        r#"SELECT extract(epoch FROM seen_at - clock_timestamp())::float8 AS "ahead!" FROM clock_mark
           WHERE seen_at NOT BETWEEN clock_timestamp() - make_interval(secs => $1)
               AND clock_timestamp() + make_interval(secs => $2)
           FOR NO KEY UPDATE SKIP LOCKED"#,
        INTERVAL.as_secs_f64(),
        TOLERANCE.as_secs_f64()
    );
    let Some(mark) = mark.fetch_optional(&mut **tx).await? else { return Ok(0) };
    let was_set_back = mark.ahead > 0.0;
    let mut moved = 0;
    if was_set_back {
        tracing::warn!(seconds = mark.ahead, "the clock of the database was set back; what lies ahead is moved");
        moved += bring_jobs_forward(tx, mark.ahead).await?;
    }
    moved += move_queue(tx).await? + move_markers(tx).await? + move_counters(tx).await?;
    sqlx::query!("UPDATE clock_mark SET seen_at = clock_timestamp()").execute(&mut **tx).await?;
    if moved > 0 {
        tracing::warn!(rows.moved = moved, "stored times were ahead of the clock of the database");
        for queue in Queue::ALL {
            tx.notify_queue(queue);
        }
    }
    Ok(moved)
}

/// Jobs wait as long as they were to wait, and not longer by what the clock was set back.
async fn bring_jobs_forward(connection: &mut PgConnection, seconds: f64) -> Result<u64> {
    let jobs = sqlx::query!(
        "UPDATE apalis.jobs SET run_at = greatest(run_at - make_interval(secs => $1), now()) WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM apalis.jobs
             WHERE run_at > now() AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
             FOR UPDATE SKIP LOCKED))",
        seconds
    );
    Ok(jobs.execute(connection).await?.rows_affected())
}

/// Jobs that cannot be meant to wait so long, schedules, and workers whose last heartbeat is not yet.
async fn move_queue(connection: &mut PgConnection) -> Result<u64> {
    let jobs = sqlx::query!(
        r"UPDATE apalis.jobs SET run_at = now() WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM apalis.jobs
             WHERE job_type = ANY ($1) AND run_at > now() + make_interval(secs => $2)
               AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
               AND (status = 'Pending' OR run_at > now() + make_interval(secs => $3)
                    OR CASE WHEN last_result #>> '{attempts,-1,at}' ~ '^\d{4}-\d\d-\d\dT\d\d:'
                           THEN (last_result #>> '{attempts,-1,at}')::timestamptz > now() + make_interval(secs => $4) END)
             FOR UPDATE SKIP LOCKED))",
        &Queue::ALL.map(Queue::name) as &[&str],
        LONGEST_SNOOZE.as_secs_f64(),
        LONGEST_BACKOFF.as_secs_f64(),
        AHEAD.as_secs_f64()
    );
    let jobs = jobs.execute(&mut *connection).await?.rows_affected();
    let schedules = sqlx::query!(
        "UPDATE schedules SET last_enqueued_at = '-infinity' WHERE name IN (
             SELECT name FROM schedules WHERE last_enqueued_at > now() + make_interval(secs => $1) FOR UPDATE SKIP LOCKED)",
        AHEAD.as_secs_f64()
    );
    let schedules = schedules.execute(&mut *connection).await?.rows_affected();
    // A live worker sends its next heartbeat in time. One that is lost is noticed after the usual time.
    let workers = sqlx::query!(
        "UPDATE apalis.workers SET last_seen = now() WHERE id IN (
             SELECT id FROM apalis.workers WHERE last_seen > now() + make_interval(secs => $1) FOR UPDATE SKIP LOCKED)",
        AHEAD.as_secs_f64()
    );
    let workers = workers.execute(connection).await?.rows_affected();
    Ok(jobs + schedules + workers)
}

/// Markers of what is stale, which reconcilers take up once they are old enough.
async fn move_markers(connection: &mut PgConnection) -> Result<u64> {
    let ahead = AHEAD.as_secs_f64();
    let progress = sqlx::query!(
        "UPDATE progress_dirty SET requested_at = least(requested_at, now()), queued_at = NULL WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM progress_dirty
             WHERE done_seq < requested_seq AND greatest(requested_at, queued_at) > now() + make_interval(secs => $1)
             LIMIT 5000 FOR UPDATE SKIP LOCKED))",
        ahead
    );
    let progress = progress.execute(&mut *connection).await?.rows_affected();
    let likes = sqlx::query!(
        "UPDATE likes_dirty SET marked_at = least(marked_at, now()), queued_at = NULL WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM likes_dirty WHERE greatest(marked_at, queued_at) > now() + make_interval(secs => $1)
             LIMIT 5000 FOR UPDATE SKIP LOCKED))",
        ahead
    );
    let likes = likes.execute(&mut *connection).await?.rows_affected();
    let uses = sqlx::query!(
        "UPDATE library_uses SET used_at = now() WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM library_uses WHERE used_at > now() + make_interval(secs => $1)
             LIMIT 5000 FOR UPDATE SKIP LOCKED))",
        ahead
    );
    let uses = uses.execute(&mut *connection).await?.rows_affected();
    let erasures = sqlx::query!(
        "UPDATE erasures SET requested_at = least(requested_at, now()), queued_at = least(queued_at, now())
         WHERE user_id = ANY (ARRAY(
             SELECT user_id FROM erasures WHERE greatest(requested_at, queued_at) > now() + make_interval(secs => $1)
             LIMIT 5000 FOR UPDATE SKIP LOCKED))",
        ahead
    );
    let erasures = erasures.execute(connection).await?.rows_affected();
    Ok(progress + likes + uses + erasures)
}

/// Counters of attempts at passwords, and what statistics and ranks were computed up to.
async fn move_counters(connection: &mut PgConnection) -> Result<u64> {
    let ahead = AHEAD.as_secs_f64();
    // The wait goes on from now. It is a quarter of an hour at most.
    let attempts = sqlx::query!(
        "UPDATE sign_in_attempts SET counted_at = least(counted_at, now()),
             free_at = least(free_at, now() + interval '15 minutes'),
             forgotten_at = least(forgotten_at, now() + interval '1 day')
         WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_attempts
             WHERE counted_at > now() + make_interval(secs => $1)
                OR free_at > now() + interval '15 minutes' + make_interval(secs => $1)
             LIMIT 5000 FOR UPDATE SKIP LOCKED))",
        ahead
    );
    let attempts = attempts.execute(&mut *connection).await?.rows_affected();
    let lessons = sqlx::query!(
        "UPDATE lesson_stats SET computed_at = NULL WHERE lesson_id = ANY (ARRAY(
             SELECT lesson_id FROM lesson_stats WHERE computed_at > now() + make_interval(secs => $1)
             LIMIT 5000 FOR UPDATE SKIP LOCKED))",
        ahead
    );
    let lessons = lessons.execute(&mut *connection).await?.rows_affected();
    let trending = sqlx::query!(
        "UPDATE showcase_projects SET trending_since = '-infinity' WHERE id = ANY (ARRAY(
             SELECT id FROM showcase_projects
             WHERE trending_likes > 0 AND trending_since > now() - interval '7 days' + make_interval(secs => $1)
             LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED))",
        ahead
    );
    let trending = trending.execute(&mut *connection).await?.rows_affected();
    let quarters = sqlx::query!(
        "UPDATE stats_state SET open_from = quarter_of(clock_timestamp()), fenced = NULL, fence = NULL
         WHERE open_from > quarter_of(clock_timestamp())"
    );
    let quarters = quarters.execute(connection).await?.rows_affected();
    Ok(attempts + lessons + trending + quarters)
}
