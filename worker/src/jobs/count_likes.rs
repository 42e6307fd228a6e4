//! Recounts the likes of one project.

use cairn_core::community::jobs::CountLikes;
use cairn_core::community::likes;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, job: CountLikes) -> Result<(), JobError> {
    let mut connection = context.db.acquire().await?;
    let Some(wait) = likes::due_in(&mut connection, job.project_id).await? else { return Ok(()) };
    drop(connection);
    if !wait.is_zero() {
        // Counted a moment ago. The likes that arrive in the meantime are covered by one count.
        return Err(JobError::Snooze(wait));
    }
    let mut tx = context.db.begin().await?;
    likes::recount(&mut tx, job.project_id).await?;
    Ok(tx.commit().await?)
}
