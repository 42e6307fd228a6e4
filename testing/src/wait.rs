//! Waiting for what happens in the background.

use std::time::{Duration, Instant};

/// Waits until `condition` holds. Panics after a minute, which is far longer than anything waited for takes.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_mins(1), "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
