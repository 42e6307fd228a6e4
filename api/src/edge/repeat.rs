//! Doing a request again whose transaction failed for a reason of the moment.
//!
//! Two editors, or an editor and an import, can be in each other's way, so that the database ends one of their transactions; a
//! connection can be lost, or turn out to be that of a server that no longer writes. The transaction is rolled back then, and the
//! same request usually succeeds at once. It is done again here, once, for all operations, unless something of it was committed.

use cairn_core::Transient;
use cairn_core::repeat::Commits;
use poem::http::request;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Endpoint, Request, RequestParts};

use super::Edge;
use crate::Problem;
use crate::params::KeptBody;

/// A request that can be sent again.
struct Original {
    head: request::Parts,
    local: LocalAddr,
    remote: RemoteAddr,
    scheme: poem::http::uri::Scheme,
    has_body: bool,
    body: KeptBody,
}

impl Original {
    /// Keeps what is needed of a request, and has its body kept when it is read.
    fn of(request: &mut Request) -> Self {
        let body = KeptBody::default();
        request.set_data(body.clone());
        let (mut head, ()) = poem::http::Request::new(()).into_parts();
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        head.extensions = request.extensions().clone();
        // Of an HTTP/2 request no header needs to say so.
        let sent = request.take_body();
        let has_body = !sent.is_empty();
        request.set_body(sent);
        let (local, remote, scheme) =
            (request.local_addr().clone(), request.remote_addr().clone(), request.scheme().clone());
        Self { head, local, remote, scheme, has_body, body }
    }

    /// The same request; `None` if its body is gone.
    fn again(self) -> Option<Request> {
        let body = match self.body.get() {
            Some(bytes) => Body::from_bytes(bytes),
            None if self.has_body => return None,
            None => Body::empty(),
        };
        let parts = RequestParts::from((self.head, self.local, self.remote, self.scheme));
        Some(Request::from_parts(parts, body))
    }
}

/// The reason of the moment for which a request failed, if it may well succeed at once.
fn reason(error: &poem::Error) -> Option<Transient> {
    let problem = error.downcast_ref::<Problem>()?;
    problem.cause()?.transient().filter(|reason| reason.may_succeed_at_once())
}

impl<E: Endpoint> Edge<E> {
    /// Runs the handler, and once more if it has committed nothing and failed for a reason that may be gone. `commits` counts
    /// what it has committed.
    pub(super) async fn call_repeatedly(&self, mut request: Request, commits: &Commits) -> poem::Result<E::Output> {
        let original = Original::of(&mut request);
        let error = match commits.count_in(self.inner.call(request)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(reason) = reason(&error).filter(|_| commits.is_empty()) else { return Err(error) };
        let Some(request) = original.again() else { return Err(error) };
        tracing::info!(error = %error, "a request failed for a reason of the moment and is done again");
        self.app.http.record_repeated(reason);
        reason.settle().await;
        commits.count_in(self.inner.call(request)).await
    }
}
