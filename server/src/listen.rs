//! Accepts connections until the process is to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::ToDynEndpoint;
use poem::{Endpoint, EndpointExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Shared, protocol, serve};
use crate::connections::{Connections, Counts};
use crate::limits::Limits;

/// How long accepting pauses after it failed, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Server {
    name: &'static str,
    limits: Limits,
    connections: Arc<Connections>,
}

impl Server {
    /// A server with these limits. `name` is used in logs.
    pub fn new(name: &'static str, limits: Limits) -> Self {
        Self { name, limits, connections: Arc::new(Connections::new()) }
    }

    /// What the server did with connections since it started.
    pub fn counts(&self) -> Counts {
        self.connections.counts()
    }

    /// Serves `endpoint` until `stopping`. Requests in progress then have up to `grace` to end.
    pub async fn run(
        &self,
        listener: TcpListener,
        endpoint: impl Endpoint + 'static,
        stopping: CancellationToken,
        grace: Duration,
    ) -> io::Result<()> {
        let local = listener.local_addr()?;
        tracing::info!(server = self.name, addr = %local, connections = self.limits.connections, "listening");
        let (protocol, tasks) = (protocol(&self.limits), TaskTracker::new());
        let endpoint = Box::new(ToDynEndpoint(endpoint.map_to_response()));
        let stopped = CancellationToken::new();
        let _ends_all = stopped.clone().drop_guard();
        let shared = Arc::new(Shared { endpoint, limits: self.limits.clone(), stopping: stopping.clone(), stopped });
        let mut pause = PAUSE;
        while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((socket, peer)) => {
                    pause = PAUSE;
                    if let Some(guard) = self.connections.open(peer.ip(), &self.limits) {
                        tasks.spawn(serve(shared.clone(), protocol.clone(), socket, (local, peer), guard));
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::error!(server = self.name, error = %error, pause = ?pause, "connections cannot be accepted");
                    stopping.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(grace, tasks.wait()).await.is_err() {
            tracing::warn!(
                server = self.name,
                open = self.counts().open,
                "connections were closed that did not end in time"
            );
        }
        Ok(())
    }
}

/// Whether a connection failed before it was accepted, which says nothing about the next one.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
