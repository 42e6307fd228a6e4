//! How often library items are used. Each use inserts a row, and the worker adds the rows up.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::items::ItemKind;
use super::jobs::RollUpUses;
use crate::Result;
use crate::db::Tx;

/// How many uses one roll-up counts at most. Must equal the limit in the SQL function `roll_up_uses`.
const BATCH: i32 = 10_000;

/// Records one use, and enqueues the roll-up unless an earlier use that waits to be counted has done so.
pub(super) async fn record(tx: &mut Tx, kind: ItemKind, item_id: Uuid) -> Result<()> {
    let is_first = sqlx::query_scalar!(
        r#"WITH waiting AS (SELECT FROM library_uses WHERE item_kind = $1 AND item_id = $2 LIMIT 1), used AS (
               INSERT INTO library_uses (item_kind, item_id) VALUES ($1, $2)
           )
           SELECT NOT EXISTS (SELECT FROM waiting) AS "is_first!""#,
        kind as ItemKind,
        item_id
    );
    if is_first.fetch_one(&mut **tx).await? {
        tx.enqueue(&RollUpUses { kind, item_id })?;
    }
    Ok(())
}

/// Counts uses of an item that have not been counted yet. Returns whether there may be more.
pub async fn roll_up(connection: &mut PgConnection, kind: ItemKind, item_id: Uuid) -> Result<bool> {
    let counted = sqlx::query_scalar!(r#"SELECT roll_up_uses($1, $2) AS "counted!""#, kind as ItemKind, item_id);
    Ok(counted.fetch_one(connection).await? == BATCH)
}

/// Enqueues the roll-up of at most `limit` items with uncounted uses older than `age`, for instance because a use was
/// committed while the roll-up ran, or was inserted by hand. Returns the number of items.
pub async fn requeue_waiting(tx: &mut Tx, age: Duration, limit: i64) -> Result<usize> {
    let items = sqlx::query!(
        r#"SELECT item_kind AS "kind: ItemKind", item_id FROM library_uses
           GROUP BY item_kind, item_id HAVING min(used_at) < now() - make_interval(secs => $1)
           ORDER BY item_kind, item_id LIMIT $2"#,
        age.as_secs_f64(),
        limit
    );
    let items = items.fetch_all(&mut **tx).await?;
    for item in &items {
        tx.enqueue(&RollUpUses { kind: item.kind, item_id: item.item_id })?;
    }
    Ok(items.len())
}
