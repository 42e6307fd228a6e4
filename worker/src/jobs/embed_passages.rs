//! Gets the vectors of passages that have none of the configured model.

use cairn_core::library::jobs::EmbedPassages;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, _: EmbedPassages) -> Result<(), JobError> {
    // What is left over is done at the next time of the schedule.
    if let Some(meaning) = &context.meaning {
        meaning.embed(&context.db).await?;
    }
    Ok(())
}
