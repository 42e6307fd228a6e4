//! What the metrics tell of the database as a whole: whether it accepts writes, who holds an old transaction, and its clock.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::clock::Clock;
use crate::{Result, transient};

/// The database as it is now. No number is negative, whatever clocks do.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Whether it accepts writes: it is no standby, and was not told to refuse them.
    pub is_writable: bool,
    /// The oldest transaction; `None` if there is none but ours.
    pub oldest: Option<OldestTransaction>,
    /// How far the slowest replica is behind, in seconds; `None` if there is none, or it has nothing to catch up with.
    pub replica_lag_seconds: Option<f64>,
    /// Replication slots of the server that nobody reads from, and for which it keeps its write-ahead log.
    pub inactive_slots: i64,
    /// Whether the archive does not take the write-ahead log: the last attempt has failed, or the last segment in it is more than
    /// eight behind. The server does not count attempts whose command ends by a signal, is not found, or hangs.
    pub is_archive_failing: bool,
    /// How far the clock of the database is from ours, in seconds.
    pub clock_skew_seconds: f64,
    /// How far the clock of the database is behind what it has stored, in seconds: it was set back.
    pub clock_behind_seconds: f64,
    /// How long ago each scheduled job was enqueued, in seconds; `None` if it never was.
    pub schedules: Vec<(String, Option<f64>)>,
}

/// The oldest transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct OldestTransaction {
    /// How long ago it began.
    pub seconds: f64,
    /// What the program calls itself.
    pub application: String,
    /// What the session does, such as `active` or `idle in transaction`.
    pub state: String,
}

/// Observes the database of a connection.
pub async fn observe(connection: &mut PgConnection) -> Result<Observation> {
    let clock = Clock::default();
    let asked_at = clock.now();
    let row = sqlx::query!(
        // Ours are seen with our own rights, and the others with those of the owner, if it has them.
        r#"WITH sessions AS (
               SELECT * FROM observe_sessions()
               UNION ALL
               (SELECT greatest(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8, a.application_name, a.state, NULL
                FROM pg_stat_activity a
                WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
                ORDER BY a.xact_start LIMIT 1)
           ), oldest AS (
               SELECT * FROM sessions WHERE oldest_seconds IS NOT NULL ORDER BY oldest_seconds DESC LIMIT 1
           )
           SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS "is_writable!",
               (SELECT oldest_seconds FROM oldest) AS oldest_seconds,
               (SELECT application FROM oldest) AS application,
               (SELECT state FROM oldest) AS state,
               (SELECT max(replica_lag_seconds) FROM sessions) AS replica_lag_seconds,
               (SELECT count(*) FROM pg_replication_slots WHERE NOT active AND NOT temporary) AS "inactive_slots!",
               -- A position in the log is the number of its segment, in two parts of the name, times the size of a segment.
               (SELECT CASE
                    WHEN current_setting('archive_mode') = 'off' OR pg_is_in_recovery() THEN false
                    WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN true
                    WHEN last_archived_wal ~ '^[0-9A-F]{24}$' THEN pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') - 8 * segment
                        > ('x' || substr(last_archived_wal, 9, 8))::bit(32)::bigint * 4294967296
                            + ('x' || substr(last_archived_wal, 17))::bit(32)::bigint * segment
                    ELSE false END
                FROM pg_stat_archiver, pg_size_bytes(current_setting('wal_segment_size')) segment) AS "is_archive_failing!",
               clock_timestamp() AS "now!",
               greatest(0, extract(epoch FROM greatest(
                   (SELECT max(last_enqueued_at) FROM schedules WHERE isfinite(last_enqueued_at)),
                   (SELECT max(last_seen) FROM apalis.workers),
                   (SELECT as_of FROM stats_state WHERE isfinite(as_of))
               ) - clock_timestamp()))::float8 AS "behind!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    if !row.is_writable {
        // So that a session that began while writes were refused does not say so for ever.
        transient::outdate_sessions();
    }
    let schedules = sqlx::query!(
        r#"SELECT name,
               CASE WHEN last_enqueued_at > '-infinity' AND last_enqueued_at < 'infinity'
                   THEN greatest(extract(epoch FROM clock_timestamp() - last_enqueued_at), 0)::float8 END AS seconds
           FROM schedules ORDER BY name"#
    );
    let schedules = schedules.fetch_all(connection).await?;
    Ok(Observation {
        is_writable: row.is_writable,
        oldest: row.oldest_seconds.map(|seconds| OldestTransaction {
            seconds,
            application: row.application.unwrap_or_default(),
            state: row.state.unwrap_or_default(),
        }),
        replica_lag_seconds: row.replica_lag_seconds,
        inactive_slots: row.inactive_slots,
        is_archive_failing: row.is_archive_failing,
        clock_skew_seconds: distance(row.now, asked_at, clock.now()),
        clock_behind_seconds: row.behind,
        schedules: schedules.into_iter().map(|schedule| (schedule.name, schedule.seconds)).collect(),
    })
}

/// How far a time is from the interval in which it was read.
fn distance(read: DateTime<Utc>, from: DateTime<Utc>, until: DateTime<Utc>) -> f64 {
    let nearest = read.clamp(from.min(until), from.max(until));
    (read - nearest).as_seconds_f64().abs()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_clock_is_right_if_it_is_read_within_the_question() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for (read, expected) in [(5, 0.0), (4, 0.0), (9, 0.0), (1, 3.0), (12, 3.0)] {
            assert!((distance(at(read), at(4), at(9)) - expected).abs() < 0.001, "{read}");
        }
        assert!(distance(at(5), at(9), at(4)) < 0.001, "a clock that was set back meanwhile");
    }
}
