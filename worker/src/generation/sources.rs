//! The sources of an answer, which are found again before the provider is asked.

use cairn_core::Result;
use cairn_core::tools::{Request, sources};
use uuid::Uuid;

use crate::Context;

/// Finds the sources of a question by its meaning as well, unless that was done or cannot be done. Returns whether the request has
/// changed, and is to be stored before it is made.
pub(crate) async fn find_by_meaning(context: &Context, user_id: Uuid, request: &mut Request) -> Result<bool> {
    let Some(meaning) = &context.meaning else { return Ok(false) };
    if request.context.by_meaning {
        return Ok(false);
    }
    request.context.by_meaning = true;
    let near = meaning.near(&context.db, &request.question).await;
    if !near.is_empty() {
        let mut connection = context.db.acquire().await?;
        request.context.sources = sources::find(&mut connection, user_id, &request.question, &near).await?;
    }
    Ok(true)
}
