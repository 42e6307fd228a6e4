//! Registration and sessions.

use cairn_core::activity::Target;
use cairn_core::noun::Noun;
use cairn_core::users::accounts::{self, NewAccount};
use cairn_core::users::attempts::Guess;
use cairn_core::users::devices::{self, Device};
use cairn_core::users::rules::{Email, Password, PersonName};
use cairn_core::users::sessions::{self, OpenSession, Refresh};
use cairn_core::users::tokens::ACCESS_TOKEN_LIFETIME;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::me::User;
use crate::answers::{Created, NoContent};
use crate::caller::{Client, Member};
use crate::operation::{Problems, Tag};
use crate::params::Body;
use crate::problem::FieldError;
use crate::security::SecurityEvent;
use crate::time::Time;
use crate::{App, Code, Problem};

/// Registration and sessions.
pub struct AuthApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    (
        "register",
        &[
            Code::InviteRequired,
            Code::InviteNotFound,
            Code::InviteRevoked,
            Code::InviteExpired,
            Code::InviteUsedUp,
            Code::EmailTaken,
        ],
    ),
    ("login", &[Code::InvalidCredentials, Code::AccountSuspended]),
    ("refreshSession", &[Code::InvalidRefreshToken]),
];

/// A registration.
#[derive(Object)]
pub struct RegisterRequest {
    /// The email address. Case is ignored.
    #[oai(validator(min_length = 3, max_length = 254))]
    pub email: String,
    /// The password: any 10 to 128 characters.
    #[oai(validator(min_length = 10, max_length = 128))]
    pub password: String,
    /// The first name.
    #[oai(validator(min_length = 1, max_length = 100))]
    pub first_name: String,
    /// The last name; null if there is none.
    #[oai(validator(min_length = 1, max_length = 100))]
    pub last_name: Option<String>,
    /// The code of an invite, which decides the role. Required unless registration is open.
    #[oai(validator(min_length = 1, max_length = 64))]
    pub invite_code: Option<String>,
}

/// Credentials.
#[derive(Object)]
pub struct LoginRequest {
    /// The email address of the account.
    #[oai(validator(min_length = 1, max_length = 254))]
    pub email: String,
    /// The password of the account.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub password: String,
    /// The `device_token` of the last sign-in on this device, or the token of a reset link that was just used; null if there
    /// is none. With it, one can sign in even while others try passwords for the account.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub device_token: Option<String>,
}

/// A refresh token.
#[derive(Object)]
pub struct RefreshRequest {
    /// The latest refresh token of the session.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub refresh_token: String,
}

/// A pair of tokens.
#[derive(Object)]
pub struct Tokens {
    /// The access token, to send as `Authorization: Bearer …`.
    pub access_token: String,
    /// The time until the access token expires, in seconds.
    pub expires_in: i64,
    /// The refresh token, which can be used once, with `refreshSession`. Keep it secret.
    pub refresh_token: String,
    /// When the session ends unless it is refreshed before.
    pub session_expires_at: Time,
}

/// A new session.
#[derive(Object)]
pub struct SignIn {
    /// The user who signed in.
    pub user: User,
    /// The tokens of the session.
    pub tokens: Tokens,
    /// A token to send with the next sign-in on this device, which then replaces it. It gives no access. Keep it when the
    /// user signs out.
    pub device_token: String,
}

#[OpenApi]
impl AuthApi {
    /// Register an account
    ///
    /// Creates an account and signs in. While registration is by invite only, `invite_code` is required; each invite can
    /// be used a limited number of times.
    #[oai(path = "/auth/register", method = "post", operation_id = "register", tag = Tag::Auth)]
    async fn register(&self, client: Client, body: Body<RegisterRequest>) -> Result<Created<SignIn>, Problem> {
        let (app, now, invite) = (&self.app, self.app.now(), body.invite_code.as_deref());
        let (email, password, first_name, last_name) = parse(&body)?;
        accounts::check_eligibility(&mut *app.connection().await?, invite, now).await?;
        let password_hash = app.passwords.hash(&password).await?;
        let new = NewAccount { email, first_name, last_name, password_hash };

        let mut tx = app.begin_for(&client.0).await?;
        let user = accounts::register(&mut tx, &new, invite).await?;
        let session = sessions::open(&mut tx, &user).await?;
        let device_token = devices::remember(&mut tx, user.id, None).await?;
        tx.commit().await?;
        let sign_in = SignIn { user: user.into(), tokens: self.tokens(session)?, device_token };
        Ok(Created::at("/v1/me".to_owned(), sign_in))
    }

    /// Sign in
    ///
    /// Opens a session. It ends when the user signs out, when it is revoked, or when it is not refreshed for 30 days. After a
    /// few wrong passwords, the next attempt has to wait, at most a quarter of an hour (429). A device that sends the
    /// `device_token` of its last sign-in does not wait for the attempts of others.
    #[oai(path = "/auth/login", method = "post", operation_id = "login", tag = Tag::Auth)]
    async fn login(&self, client: Client, body: Body<LoginRequest>) -> Result<Json<SignIn>, Problem> {
        let app = &self.app;
        let email = Email::parse(&body.email).ok_or_else(Problem::invalid_credentials)?;
        let device = self.known_device(&body, &email).await?;
        let guess = match &device {
            Some(device) => Guess::KnownDevice(device),
            None => Guess::SignIn { email: &email, ip: client.0.ip },
        };
        let attempt = app.begin_attempt(&client.0, guess).await?;
        let found = accounts::find_credentials(&mut *app.connection().await?, &email).await?;
        let account = found.as_ref().map(|found| Target::new(Noun::User, found.user.id, &found.user.name()));
        let hash = found.as_ref().and_then(|found| found.password_hash.as_deref());
        let account = account.as_ref().map(|account| (account, hash));
        let attempt = app.check_attempt(&client.0, attempt, &body.password, account).await?;
        let (attempt, found) = attempt.zip(found).ok_or_else(Problem::invalid_credentials)?;

        let mut tx = app.begin_for(&client.0).await?;
        if found.is_suspended {
            attempt.succeed(&mut tx, app.now()).await?;
            tx.commit().await?;
            return Err(Problem::account_suspended());
        }
        let session = sessions::sign_in(&mut tx, &found).await?.ok_or_else(Problem::invalid_credentials)?;
        let device_token = devices::remember(&mut tx, found.user.id, device.as_ref()).await?;
        attempt.succeed(&mut tx, app.now()).await?;
        tx.commit().await?;
        Ok(Json(SignIn { user: found.user.into(), tokens: self.tokens(session)?, device_token }))
    }

    /// Refresh a session
    ///
    /// Exchanges the refresh token for a new pair of tokens; the session then lasts another 30 days. Each refresh token
    /// can be used once. If the answer was lost, the same token may be sent again within 10 seconds; a later second use
    /// means that the token was stolen, and ends the whole session.
    #[oai(path = "/auth/refresh", method = "post", operation_id = "refreshSession", tag = Tag::Auth)]
    async fn refresh(&self, client: Client, body: Body<RefreshRequest>) -> Result<Json<Tokens>, Problem> {
        let mut tx = self.app.begin_for(&client.0).await?;
        let refresh = sessions::refresh(&mut tx, &body.refresh_token).await?;
        // Committed even if the token was reused, because a reuse revokes the session.
        tx.commit().await?;
        match refresh {
            Refresh::Renewed(session) => Ok(Json(self.tokens(session)?)),
            Refresh::Invalid => Err(Problem::invalid_refresh_token()),
            Refresh::Reused => {
                self.app.security.note(SecurityEvent::TokenReused, None, client.0.ip);
                Err(Problem::invalid_refresh_token())
            }
        }
    }

    /// Sign out
    ///
    /// Ends the session of the access token. Other sessions are not affected.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logout", tag = Tag::Auth)]
    async fn logout(&self, caller: Member) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        sessions::sign_out(&mut tx).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}

impl AuthApi {
    /// The device of the request, if it is known for the account.
    async fn known_device(&self, body: &LoginRequest, email: &Email) -> Result<Option<Device>, Problem> {
        let Some(token) = &body.device_token else { return Ok(None) };
        Ok(devices::find(&mut *self.app.connection().await?, token, email, self.app.now()).await?)
    }

    fn tokens(&self, session: OpenSession) -> Result<Tokens, Problem> {
        Ok(Tokens {
            access_token: self.app.tokens.issue(session.subject, self.app.now())?,
            expires_in: ACCESS_TOKEN_LIFETIME.num_seconds(),
            refresh_token: session.refresh_token,
            session_expires_at: session.expires_at.into(),
        })
    }
}

/// Parses the parts of a registration, or returns a problem that lists all invalid parts.
fn parse(body: &RegisterRequest) -> Result<(Email, Password, PersonName, Option<PersonName>), Problem> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, message: &str| errors.push(FieldError::at(pointer, "malformed", message));
    let email = Email::parse(&body.email);
    if email.is_none() {
        wrong("/email", "An email address is expected.");
    }
    let password = Password::parse(&body.password);
    if password.is_none() {
        wrong("/password", "10 to 128 characters are expected.");
    }
    let first_name = PersonName::parse(&body.first_name);
    if first_name.is_none() {
        wrong("/first_name", "1 to 100 characters are expected, no control characters.");
    }
    let last_name = body.last_name.as_deref().map(PersonName::parse);
    if last_name == Some(None) {
        wrong("/last_name", "1 to 100 characters are expected, no control characters.");
    }
    match (email, password, first_name) {
        (Some(email), Some(password), Some(first_name)) if errors.is_empty() => {
            Ok((email, password, first_name, last_name.flatten()))
        }
        _ => Err(Problem::invalid_body().with_errors(errors)),
    }
}
