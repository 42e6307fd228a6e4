//! Who sends a request, before anything else is known of it.

use std::net::SocketAddr;

use poem::Request;

use super::costs::cost_of;
use super::forwarded::client_address;
use crate::budget::{Admission, Client, Quota};
use crate::caller::{ClientAddress, bearer};
use crate::security::SecurityEvent;
use crate::{App, Problem};

/// Finds out whose request it is, and takes what it costs from their budget.
///
/// A signed-in user has their own budget, wherever they are, so a school behind one address is no single client. A token
/// counts by its signature alone: whether its session goes on is asked of the database later, which is what the budget is
/// there to protect.
pub(super) fn admit(app: &App, request: &mut Request) -> (Result<Admission, Problem>, Quota) {
    let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
    let ip = peer.map(|peer| client_address(peer, request.headers(), &app.proxies));
    request.set_data(ClientAddress(ip));
    let now = app.now();
    let user = bearer(request).and_then(|token| app.tokens.verify(token, now));
    let client = user.map_or(Client::Address(ip), |subject| Client::User(subject.user_id));
    match app.budgets.admit(client, cost_of(request.method(), request.uri().path()), now) {
        Ok(admission) => {
            let quota = admission.quota;
            (Ok(admission), quota)
        }
        Err(refusal) => {
            app.security.count(SecurityEvent::RateLimited);
            (Err(Problem::too_many_requests().retry_after(refusal.retry_after)), refusal.quota)
        }
    }
}
