//! What all edits of the tree have in common: their order, and what follows from them.

use sqlx::PgConnection;

use crate::Result;
use crate::db::Tx;
use crate::learning::{recompute, task_changes};
use crate::refusal::Rejected;
use crate::resource::Refusal;

/// The position of a row that is to be saved as the last of its list.
pub(super) const LAST: i32 = i32::MAX;

/// How many live modules, lessons of a module, roadmaps and lessons of a stage there can be. A course document allows as
/// many, so that every course can be exported and imported again.
pub(super) const MAX_ITEMS: usize = 1000;
/// The same for stages of a roadmap.
pub(super) const MAX_STAGES: usize = 200;

/// Waits until no other transaction edits the tree, and keeps others from it until this one ends. The triggers of the tables
/// take the same lock with the first statement that matters to progress; an edit takes it before it locks any row, so that
/// editors cannot deadlock.
pub(super) async fn lock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('content', 0))").execute(connection).await?;
    Ok(())
}

/// Enqueues what follows from an edit: the recomputation of progress, and the completion of lessons whose tasks changed.
pub(super) async fn enqueue_consequences(tx: &mut Tx) -> Result<()> {
    recompute::enqueue_changed(tx).await?;
    task_changes::enqueue_marked(tx).await
}

/// Refuses a list that has more than `limit` resources.
pub(super) fn check_size(size: i64, limit: usize) -> Result<(), Rejected<Refusal>> {
    if usize::try_from(size).is_ok_and(|size| size <= limit) {
        return Ok(());
    }
    Err(Rejected::Refused(Refusal::Full { limit }))
}
