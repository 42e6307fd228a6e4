//! Counts in how many objects each word of the search index occurs.

use cairn_core::library::jobs::CountSearchTerms;
use cairn_core::library::search;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, _: CountSearchTerms) -> Result<(), JobError> {
    let mut tx = context.db.begin().await?;
    search::count_terms(&mut tx).await?;
    Ok(tx.commit().await?)
}
