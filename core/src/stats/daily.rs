//! Numbers by day, in any time zone.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use crate::Result;
use crate::refusal::Rejected;

/// What happened on a day.
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// The day.
    pub date: NaiveDate,
    /// The number of different learners who did something.
    pub active_learners: i64,
    /// The number of lessons that learners completed, as far as they are still completed.
    pub completions: i64,
    /// The number of likes that were given, as far as they were not taken back.
    pub likes: i64,
    /// The number of questions to AI tools.
    pub questions: i64,
    /// The number of users who registered, as far as their accounts are not deleted.
    pub new_users: i64,
}

/// There is no such time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTimeZone;

/// The database's code for a parameter whose value makes no sense: here, the name of a time zone.
const INVALID_PARAMETER_VALUE: &str = "22023";

/// The current date in a time zone of the IANA database.
pub async fn today(connection: &mut PgConnection, time_zone: &str) -> Result<NaiveDate, Rejected<UnknownTimeZone>> {
    let today = sqlx::query_scalar!(r#"SELECT (now() AT TIME ZONE $1)::date AS "today!""#, time_zone);
    today.fetch_one(connection).await.map_err(|error| {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.as_deref() == Some(INVALID_PARAMETER_VALUE) { Rejected::Refused(UnknownTimeZone) } else { error.into() }
    })
}

/// One row for each day from `first` to `last`, both included, by the clocks of a time zone that exists. Days begin and end when
/// they do there, so some have 23 or 25 hours.
pub async fn list(
    connection: &mut PgConnection,
    time_zone: &str,
    first: NaiveDate,
    last: NaiveDate,
) -> Result<Vec<Day>> {
    let days = sqlx::query_as!(
        Day,
        r#"SELECT d.day::date AS "date!", a.learners AS "active_learners!", q.completions AS "completions!",
               q.likes AS "likes!", q.questions AS "questions!", q.new_users AS "new_users!"
           FROM generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') AS d (day)
           CROSS JOIN LATERAL (
               SELECT quarter_of(d.day AT TIME ZONE $3) AS since,
                   quarter_of((d.day + interval '1 day') AT TIME ZONE $3) AS until
               OFFSET 0  -- converts the time once for each day, and not for each quarter
           ) b
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(s.completions), 0) AS completions, coalesce(sum(s.likes), 0) AS likes,
                   coalesce(sum(s.questions), 0) AS questions,
                   coalesce(sum(s.students + s.mentors + s.admins), 0) AS new_users
               FROM stats_quarters s WHERE s.quarter >= b.since AND s.quarter < b.until
           ) q
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(s.first_of_day[s.quarter - b.since + 1]), 0) AS learners
               FROM stats_active s WHERE s.quarter >= b.since AND s.quarter < b.until
           ) a
           ORDER BY d.day"#,
        first,
        last,
        time_zone
    );
    Ok(days.fetch_all(connection).await?)
}

/// What was committed by then is contained in the numbers; `None` before they were first computed.
pub async fn as_of(connection: &mut PgConnection) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("SELECT as_of FROM stats_state").fetch_one(connection).await?)
}
