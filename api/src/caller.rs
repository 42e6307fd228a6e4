//! The callers of operations. A handler that takes a [`Member`], [`Mentor`] or [`Admin`] cannot be reached without one.

use std::net::IpAddr;
use std::ops::Deref;

use cairn_core::activity::{Action, Verb};
use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::noun::Noun;
use cairn_core::users::sessions;
use cairn_core::users::tokens::TokenSubject;
use poem::http::header;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;
use serde_json::json;

use crate::{App, Problem};

/// The maximum length of a stored `User-Agent`, in characters.
const MAX_USER_AGENT: usize = 400;
/// The maximum length of a recorded path, in characters.
const MAX_PATH: usize = 200;

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident $scheme:literal $checker:ident $role:expr, $needs_verification:literal;)*) => {$(
        $(#[$doc])*
        #[derive(SecurityScheme)]
        #[oai(ty = "bearer", rename = $scheme, bearer_format = "JWT", checker = $checker)]
        pub struct $name(Caller);

        impl Deref for $name {
            type Target = Caller;
            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        async fn $checker(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
            Ok(authenticate(request, &bearer.token, $role, $needs_verification).await?)
        }
    )*};
}

callers! {
    /// Any signed-in, active user, even one who has yet to verify their email address.
    SignedIn "signed_in" signed_in Role::Student, false;
    /// Any signed-in, active user.
    Member "member" member Role::Student, true;
    /// A mentor or an admin.
    Mentor "mentor" mentor Role::Mentor, true;
    /// An admin.
    Admin "admin" admin Role::Admin, true;
}

/// The address of the client, which the edge adds to the request; `None` if it is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) Option<IpAddr>);

/// The origin of a request without a caller.
#[derive(Clone, Debug)]
pub struct Client(pub Origin);

impl<'a> FromRequest<'a> for Client {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(origin(request)))
    }
}

async fn authenticate(
    request: &Request,
    token: &str,
    least: Role,
    needs_verification: bool,
) -> Result<Caller, Problem> {
    let app = request.data::<App>().ok_or_else(|| cairn_core::Error::message("a request without the app"))?;
    let now = app.now();
    let subject = app.tokens.verify(token, now).ok_or_else(Problem::unauthorized)?;
    let mut connection = app.connection().await?;
    let access = sessions::authenticate(&mut connection, subject, now).await?.ok_or_else(Problem::unauthorized)?;
    drop(connection);
    let TokenSubject { user_id, session_id } = subject;
    let caller = Caller { user_id, session_id, role: access.role, origin: origin(request) };
    if caller.role < least {
        let path: String = "/v1".chars().chain(request.uri().path().chars()).take(MAX_PATH).collect();
        let refused = json!({ "method": request.method().as_str(), "path": path });
        app.record_refusal(&caller, Action::new(Noun::Operation, Verb::Refused).with(refused)).await?;
        return Err(Problem::forbidden());
    }
    if needs_verification && access.must_verify_email {
        return Err(Problem::email_not_verified());
    }
    Ok(caller)
}

/// Whether a request has a token of ours that has not expired. Its session may have ended; only [`authenticate`] knows.
pub(crate) fn is_signed_in(request: &Request) -> bool {
    let app = request.data::<App>();
    app.zip(bearer(request)).is_some_and(|(app, token)| app.tokens.verify(token, app.now()).is_some())
}

/// The access token of a request, as it was sent.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header(header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The address of the client, as the edge has found it, and its `User-Agent`.
fn origin(request: &Request) -> Origin {
    let user_agent = request.headers().get(header::USER_AGENT).map(|value| {
        String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()
    });
    Origin { ip: request.data::<ClientAddress>().and_then(|address| address.0), user_agent }
}
