//! Shutdown signals.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that SIGTERM or SIGINT cancels. A second signal ends the process at once, and so does the end of `limit`,
/// which is longer than an orderly stop takes: whatever hangs then, such as the resolution of a name, hangs in vain.
pub fn on_signal(limit: Duration) -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let shutdown = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if shutdown.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping; a second signal stops at once");
            // A thread, because the runtime may be what hangs.
            std::thread::spawn(move || {
                std::thread::sleep(limit);
                tracing::error!(limit = ?limit, "the process did not stop in order, and ends now");
                std::process::exit(1);
            });
            shutdown.cancel();
        }
    });
    Ok(token)
}
