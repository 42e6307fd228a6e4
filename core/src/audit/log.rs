//! Lists of activities.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// An activity and who did it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "columns of the table activity_log, and of the actor")]
pub struct Entry {
    pub id: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub actor_id: Option<Uuid>,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub action: String,
    pub target_type: Option<String>,
    pub target_id: Option<Uuid>,
    pub target_title: Option<String>,
}

/// An activity with everything that was recorded.
#[derive(Clone, Debug)]
pub struct EntryDetails {
    /// The activity.
    pub entry: Entry,
    /// Further details; a JSON object.
    pub details: Value,
    /// The IP address of the client; `None` if it is not known.
    pub ip: Option<String>,
    /// The `User-Agent` header; `None` if there was none.
    pub user_agent: Option<String>,
}

/// Sort key of lists, newest first.
pub type Key = (DateTime<Utc>, Uuid);

/// Which activities to list. Conditions are combined; an empty filter selects all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only activities of this user.
    pub actor_id: Option<Uuid>,
    /// Only this action, such as `lesson.completed`.
    pub action: Option<String>,
    /// Only activities whose object is of this type.
    pub target_type: Option<String>,
    /// Only activities with this object.
    pub target_id: Option<Uuid>,
    /// Only activities since then.
    pub from: Option<DateTime<Utc>>,
    /// Only activities before then.
    pub to: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    occurred_at: DateTime<Utc>,
    actor_id: Option<Uuid>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    action: String,
    target_type: Option<String>,
    target_id: Option<Uuid>,
    target_title: Option<String>,
    details: Value,
    ip: Option<String>,
    user_agent: Option<String>,
}

impl From<Row> for EntryDetails {
    fn from(row: Row) -> Self {
        let entry = Entry {
            id: row.id,
            occurred_at: row.occurred_at,
            actor_id: row.actor_id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            action: row.action,
            target_type: row.target_type,
            target_id: row.target_id,
            target_title: row.target_title,
        };
        Self { entry, details: row.details, ip: row.ip, user_agent: row.user_agent }
    }
}

/// Selects activities from `$from`, which provides the rows `a` of `activity_log`.
macro_rules! select_entries {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT a.id AS "id!", a.occurred_at AS "occurred_at!", a.actor_id, u.email AS "email?",
                   u.first_name AS "first_name?", u.last_name, a.action AS "action!", a.target_type, a.target_id,
                   a.target_title, a.metadata AS "details!", host(a.ip) AS ip, a.user_agent
               FROM "# + $from,
            $($argument),*
        )
    };
}

/// At most `limit` activities, newest first, starting after the one with the time and id of `before`.
///
/// One branch for each index, of which the most selective filter decides which returns rows. A filter that many rows pass could
/// be tested on the index by time just as well, but not in a period that has none of them. Comparing and ordering by the
/// filtered column too leaves the planner no other index than the one of the filter. The bounds on the time alone let Postgres
/// skip partitions.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    before: Option<Key>,
    limit: i64,
) -> Result<Vec<EntryDetails>> {
    let to = filter.to.unwrap_or(END_OF_TIME);
    let (time, id) = before.filter(|(time, _)| *time < to).unwrap_or((to, Uuid::nil()));
    let rows = select_entries!(
        "(
               (SELECT * FROM activity_log
                WHERE $1::uuid IS NOT NULL
                  AND target_id >= $1 AND (target_id, occurred_at) >= ($1, $5) AND (target_id, occurred_at, id) < ($1, $6, $7::uuid)
                  AND occurred_at >= $5 AND occurred_at <= $6
                  AND ($2::uuid IS NULL OR actor_id = $2) AND ($3::text IS NULL OR action = $3)
                  AND ($4::text IS NULL OR target_type = $4)
                ORDER BY target_id DESC, occurred_at DESC, id DESC LIMIT $8)
               UNION ALL
               (SELECT * FROM activity_log
                WHERE $1::uuid IS NULL AND $2::uuid IS NOT NULL AND actor_id = $2
                  AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR target_type = $4)
                  AND occurred_at >= $5 AND occurred_at <= $6 AND (occurred_at, id) < ($6, $7::uuid)
                ORDER BY occurred_at DESC, id DESC LIMIT $8)
               UNION ALL
               (SELECT * FROM activity_log
                WHERE $1::uuid IS NULL AND $2::uuid IS NULL AND $3::text IS NOT NULL
                  AND action >= $3 AND (action, occurred_at) >= ($3, $5) AND (action, occurred_at, id) < ($3, $6, $7::uuid)
                  AND occurred_at >= $5 AND occurred_at <= $6
                  AND ($4::text IS NULL OR target_type = $4)
                ORDER BY action DESC, occurred_at DESC, id DESC LIMIT $8)
               UNION ALL
               (SELECT * FROM activity_log
                WHERE $1::uuid IS NULL AND $2::uuid IS NULL AND $3::text IS NULL AND $4::text IS NOT NULL
                  AND target_type >= $4 AND (target_type, occurred_at) >= ($4, $5) AND (target_type, occurred_at, id) < ($4, $6, $7::uuid)
                  AND occurred_at >= $5 AND occurred_at <= $6
                ORDER BY target_type DESC, occurred_at DESC, id DESC LIMIT $8)
               UNION ALL
               (SELECT * FROM activity_log
                WHERE $1::uuid IS NULL AND $2::uuid IS NULL AND $3::text IS NULL AND $4::text IS NULL
                  AND occurred_at >= $5 AND occurred_at <= $6 AND (occurred_at, id) < ($6, $7::uuid)
                ORDER BY occurred_at DESC, id DESC LIMIT $8)
           ) a
           LEFT JOIN users u ON u.id = a.actor_id
           ORDER BY a.occurred_at DESC, a.id DESC LIMIT $8",
        filter.target_id,
        filter.actor_id,
        filter.action,
        filter.target_type,
        filter.from.unwrap_or(DateTime::UNIX_EPOCH),
        time,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(EntryDetails::from).collect())
}

/// Later than any activity.
const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp(253_402_300_799, 0).expect("the year 9999");

/// One activity.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<EntryDetails, Rejected<NotFound>> {
    let row = select_entries!("activity_log a LEFT JOIN users u ON u.id = a.actor_id WHERE a.id = $1", id);
    let row = row.fetch_optional(connection).await?.or_not_found(Noun::Activity)?;
    Ok(row.into())
}

/// At most `limit` activities of live learners, but no more than 101, newest first, starting after the one with the time and id
/// of `before`.
pub async fn recent_of_students(connection: &mut PgConnection, before: Option<Key>, limit: i64) -> Result<Vec<Entry>> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Entry,
        r#"SELECT id AS "id!", occurred_at AS "occurred_at!", user_id AS actor_id, email, first_name, last_name,
               action AS "action!", target_type, target_id, target_title
           FROM (
               -- A number that the planner knows: it would sort everything for the tenth that it expects of a parameter.
               SELECT * FROM recent_student_activity
               WHERE occurred_at <= $1 AND (occurred_at, id) < ($1, $2::uuid)
               ORDER BY occurred_at DESC, id DESC LIMIT 101
           ) page
           ORDER BY occurred_at DESC, id DESC LIMIT $3"#,
        time.unwrap_or(END_OF_TIME),
        id.unwrap_or(Uuid::max()),
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
