//! Counts the uses of one item of the libraries.

use cairn_core::library::jobs::RollUpUses;
use cairn_core::library::uses;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, job: RollUpUses) -> Result<(), JobError> {
    loop {
        let mut tx = context.db.begin().await?;
        let has_more = uses::roll_up(&mut tx, job.kind, job.item_id).await?;
        tx.commit().await?;
        if !has_more {
            return Ok(());
        }
    }
}
