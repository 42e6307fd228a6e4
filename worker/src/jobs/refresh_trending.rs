//! Takes likes that are older than seven days out of the trending rank, in chunks.

use cairn_core::community::jobs::RefreshTrending;
use cairn_core::community::trending;

use crate::Context;
use crate::run::JobError;

/// How many projects one transaction recounts.
const CHUNK: u16 = 500;

pub(super) async fn run(context: Context, _: RefreshTrending) -> Result<(), JobError> {
    loop {
        let mut tx = context.db.begin().await?;
        let refreshed = trending::refresh(&mut tx, CHUNK.into()).await?;
        tx.commit().await?;
        if refreshed < usize::from(CHUNK) {
            return Ok(());
        }
    }
}
