//! How often items of the libraries are used: one inserted row for each use, which the worker adds up.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::jobs::RollUpUses;
use crate::Result;
use crate::db::Tx;

/// What is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "library_item_kind", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A style card.
    #[sqlx(rename = "style_card")]
    Style,
    /// A prompt, of which copies are counted.
    Prompt,
}

/// Uses that one roll-up counts at most, as in the function `roll_up_uses`.
const BATCH: i32 = 10_000;

/// Records one use, and enqueues the roll-up unless one that will see this use is waiting already.
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

/// Counts waiting uses of an item. Returns whether there may be more.
pub async fn roll_up(connection: &mut PgConnection, kind: ItemKind, item_id: Uuid) -> Result<bool> {
    let counted = sqlx::query_scalar!(r#"SELECT roll_up_uses($1, $2) AS "counted!""#, kind as ItemKind, item_id);
    Ok(counted.fetch_one(connection).await? == BATCH)
}

/// Enqueues the roll-up of at most `limit` items that have uses older than `age`, for instance because a use was committed
/// while the roll-up ran, or was inserted by hand. Returns how many.
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
