//! Storing what a provider is paid for, while the database is busy or restarts.

use std::time::Duration;

use cairn_core::{Result, Transient};
use tokio::time::{Instant, sleep};

/// For how long it is tried, and how often.
const LIMIT: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(300);

/// Does something with the database, and does it again while it fails for a reason of the moment that `may_be_repeated`, for some
/// seconds: an answer that was dropped would be asked and paid for again. Whether it was done is not known when the connection was lost.
pub(crate) async fn patiently<T, F>(
    may_be_repeated: impl Fn(Transient) -> bool,
    mut action: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let started = Instant::now();
    loop {
        match action().await {
            Err(error) if started.elapsed() < LIMIT && error.transient().is_some_and(&may_be_repeated) => {
                tracing::warn!(%error, "an answer of the AI provider is not stored yet, and waits");
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}
