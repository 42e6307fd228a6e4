//! Writes the answer to a question.
//!
//! ```text
//! queued ──begin──► streaming ──complete──► completed
//!                    │   ▲
//!                    │   └── a later attempt: the earlier one may write nothing any more
//!                    └──── the job is dead ──► failed
//! ```

use cairn_core::jobs::GenerateReply;
use cairn_core::tools::replies;
use cairn_core::{Error, failpoint};

use crate::{Context, JobError, providers};

pub(super) async fn run(context: Context, job: GenerateReply) -> Result<(), JobError> {
    let mut connection = context.db.pool().acquire().await.map_err(Error::from)?;
    let Some(attempt) = replies::begin_attempt(&mut connection, job.reply_id, providers::library::NAME).await? else {
        return Ok(());
    };
    drop(connection);
    let answer = providers::generate(&context.db, &attempt).await?;
    failpoint::pass(failpoint::AFTER_EXTERNAL_CALL);
    let mut connection = context.db.pool().acquire().await.map_err(Error::from)?;
    for (seq, piece) in (1..).zip(&answer.pieces) {
        if !replies::append_chunk(&mut connection, &attempt, seq, piece).await? {
            // Cancelled, or a later attempt is under way.
            return Ok(());
        }
    }
    drop(connection);
    let mut tx = context.db.begin().await?;
    replies::complete(&mut tx, &context.clock, &attempt, &answer.pieces.concat(), &answer.usage).await?;
    Ok(tx.commit().await?)
}
