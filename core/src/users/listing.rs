//! Lists of users for admins.
//!
//! A page is read in the order of an index that begins with what the list is filtered by, one part for each role and
//! state. A list that is searched first walks a bounded way through that order, which finds words that many have, and
//! otherwise asks the index of words, which finds those that few have. So neither reads the whole table.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::directory::UserStatus;
use crate::Result;
use crate::actor::Role;

/// How many users are walked through before the index of words is asked.
const WALK: i64 = 2000;

/// Which users to list. Conditions are combined.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only users with this role; `None` for any role.
    pub role: Option<Role>,
    /// Only users with this status; `None` for any status.
    pub status: Option<UserStatus>,
    /// The deleted users instead of the live ones.
    pub deleted: bool,
    /// Only users whose name or email address has, for each word of this text, one that begins with it.
    pub text: Option<String>,
}

/// A user in a list.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Account")]
pub struct Entry {
    pub id: Uuid,
    pub email: String,
    pub first_name: String,
    pub last_name: Option<String>,
    pub role: Role,
    pub status: UserStatus,
    pub progress_percent: Option<i16>,
    pub last_active_at: Option<DateTime<Utc>>,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    /// Sort key of [`by_name`].
    pub sort_name: String,
    /// Sort key of [`by_last_active`]: the beginning of 1970 for users who never were.
    pub sort_active: DateTime<Utc>,
}

/// Lists users in one order: its key, how the keys of later users compare, the least id of those, and the order itself.
macro_rules! list {
    ($connection:ident, $filter:ident, $after:ident, $limit:ident;
     $key:literal, $beyond:literal, $first_key:literal, $first_id:literal, $order:literal) => {{
        let (key, id) = $after.unzip();
        let (text, is_live) = ($filter.text.as_deref(), !$filter.deleted);
        let steps = if text.is_some() { WALK.max($limit) } else { $limit };
        let walked = sqlx::query_as!(
            Entry,
            r#"SELECT u.id AS "id!", u.email AS "email!", u.first_name AS "first_name!", u.last_name,
                   u.role AS "role!: Role", u.status AS "status!: UserStatus", u.progress_percent, u.last_active_at,
                   u.version AS "version!", u.created_at AS "created_at!", u.deleted_at,
                   u.sort_name AS "sort_name!",
                   coalesce(u.last_active_at, timestamptz '1970-01-01 00:00+00') AS "sort_active!"
               FROM (
                   SELECT u.* FROM unnest(enum_range(NULL::user_role)) AS r (role)
                   CROSS JOIN unnest(enum_range(NULL::user_status)) AS s (status)
                   CROSS JOIN LATERAL (
                       SELECT * FROM users u
                       WHERE u.role = r.role AND u.status = s.status AND (u.deleted_at IS NULL) = $3
                         AND u.erased_at IS NULL
                         AND ("#
                + $key
                + ", u.id) "
                + $beyond
                + " (coalesce($4, "
                + $first_key
                + "), coalesce($5, '"
                + $first_id
                + "'::uuid))
                       ORDER BY "
                + $order
                + " LIMIT $6
                   ) u
                   WHERE ($1::user_role IS NULL OR r.role = $1) AND ($2::user_status IS NULL OR s.status = $2)
                   ORDER BY "
                + $order
                + " LIMIT $6
               ) u
               WHERE $7::text IS NULL
                  OR u.words @@ (SELECT person_query($7))
               ORDER BY "
                + $order
                + " LIMIT $8",
            $filter.role as Option<Role>,
            $filter.status as Option<UserStatus>,
            is_live,
            key,
            id,
            steps,
            text,
            $limit
        );
        let walked = walked.fetch_all(&mut *$connection).await?;
        if text.is_none() || i64::try_from(walked.len()).unwrap_or(i64::MAX) >= $limit {
            return Ok(walked);
        }
        let found = sqlx::query_as!(
            Entry,
            r#"SELECT u.id AS "id!", u.email AS "email!", u.first_name AS "first_name!", u.last_name,
                   u.role AS "role!: Role", u.status AS "status!: UserStatus", u.progress_percent, u.last_active_at,
                   u.version AS "version!", u.created_at AS "created_at!", u.deleted_at,
                   u.sort_name AS "sort_name!",
                   coalesce(u.last_active_at, timestamptz '1970-01-01 00:00+00') AS "sort_active!"
               FROM (
                   SELECT * FROM users u
                   WHERE u.words @@ (SELECT person_query($6)) AND u.erased_at IS NULL
                   OFFSET 0  -- the index of words, and no other
               ) u
               WHERE ($1::user_role IS NULL OR u.role = $1) AND ($2::user_status IS NULL OR u.status = $2)
                 AND (u.deleted_at IS NULL) = $3
                 AND ("#
                + $key
                + ", u.id) "
                + $beyond
                + " (coalesce($4, "
                + $first_key
                + "), coalesce($5, '"
                + $first_id
                + "'::uuid))
               ORDER BY "
                + $order
                + " LIMIT $7",
            $filter.role as Option<Role>,
            $filter.status as Option<UserStatus>,
            is_live,
            key,
            id,
            text,
            $limit
        );
        Ok(found.fetch_all($connection).await?)
    }};
}

/// At most `limit` users, the newest first, starting after the `created_at` and id of `after`.
pub async fn by_newest(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>> {
    list!(connection, filter, after, limit; "u.created_at", "<", "'infinity'::timestamptz",
        "ffffffff-ffff-ffff-ffff-ffffffffffff", "u.created_at DESC, u.id DESC")
}

/// At most `limit` users in the order of their names, starting after the [`Entry::sort_name`] and id of `after`.
pub async fn by_name(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<(String, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>> {
    list!(connection, filter, after, limit; "u.sort_name", ">", "''",
        "00000000-0000-0000-0000-000000000000",
        "u.sort_name, u.id")
}

/// At most `limit` users, the most recently active first, starting after the [`Entry::sort_active`] and id of `after`. A user
/// who becomes active between two pages may be missing.
pub async fn by_last_active(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Entry>> {
    list!(connection, filter, after, limit;
        "coalesce(u.last_active_at, timestamptz '1970-01-01 00:00+00')", "<", "'infinity'::timestamptz",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "coalesce(u.last_active_at, timestamptz '1970-01-01 00:00+00') DESC, u.id DESC")
}
