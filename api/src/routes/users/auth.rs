//! Registration and sessions.

use cairn_core::activity::Target;
use cairn_core::noun::Noun;
use cairn_core::users::accounts::{self, NewAccount};
use cairn_core::users::attempts::Guess;
use cairn_core::users::devices::{self, Device};
use cairn_core::users::password_rules::{Password, PasswordFault, Person};
use cairn_core::users::passwords::Verdict;
use cairn_core::users::rules::{Email, PersonName};
use cairn_core::users::sessions::{self, OpenSession, Refresh};
use cairn_core::users::tokens::ACCESS_TOKEN_LIFETIME;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::me::User;
use crate::answers::{Created, NoContent};
use crate::caller::{Client, SignedIn};
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
    /// The password: 10 to 128 characters, not a common password, and not one's own address or name.
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
    /// The refresh token, which `refreshSession` exchanges for the next. Keep it secret.
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
    /// be used a limited number of times. `errors` says which rule a password violates that is not accepted: `too_short`,
    /// `too_long`, `common_password` or `personal_password` (the user's own address or name).
    ///
    /// If the platform requires verified addresses, a mail with a link is sent, and until the link is used (`verifyEmail`)
    /// all operations answer 403 `email_not_verified` except `getMe`, `requestEmailVerification` and `logout`.
    #[oai(path = "/auth/register", method = "post", operation_id = "register", tag = Tag::Auth)]
    async fn register(&self, client: Client, body: Body<RegisterRequest>) -> Result<Created<SignIn>, Problem> {
        let (app, now, invite) = (&self.app, self.app.now(), body.invite_code.as_deref());
        let (email, password, first_name, last_name) = parse(&body)?;
        accounts::check_eligibility(&mut *app.connection().await?, invite, now).await?;
        let password_hash = app.passwords.hash(&password).await?;
        let new = NewAccount { email, first_name, last_name, password_hash };

        let mut tx = app.begin_for(&client.0).await?;
        let settings = app.settings(&mut tx).await?;
        let user = accounts::register(&mut tx, &new, invite, &settings).await?;
        let session = sessions::open(&mut tx, &user, &settings).await?;
        let device_token = devices::remember(&mut tx, user.id, None).await?;
        tx.commit().await?;
        let sign_in = SignIn { user: user.into(), tokens: self.tokens(session)?, device_token };
        Ok(Created::at("/v1/me".to_owned(), sign_in))
    }

    /// Sign in
    ///
    /// Opens a session. It ends when the user signs out, when it is revoked, when it is not refreshed for some time (30 days by
    /// default), and after 90 days by default in any case. A user can have a limited number of sessions, 50 by default:
    /// another sign-in ends the one that was not used for longest. After a few wrong passwords, the next attempt has to wait,
    /// at most a quarter of an hour (429). A device that sends the `device_token` of its last sign-in does not wait for the
    /// attempts of others.
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
        let checked = app.check_attempt(&client.0, attempt, &body.password, account).await?;
        let ((attempt, verdict), found) = checked.zip(found).ok_or_else(Problem::invalid_credentials)?;
        let rehashed = match verdict {
            // Not worth a failed sign-in: the next one tries again.
            Verdict::Outdated if !found.is_suspended => app.passwords.rehash(&body.password).await.ok(),
            _ => None,
        };

        let mut tx = app.begin_for(&client.0).await?;
        if found.is_suspended {
            attempt.succeed(&mut tx, app.now()).await?;
            tx.commit().await?;
            return Err(Problem::account_suspended());
        }
        let settings = app.settings(&mut tx).await?;
        let session = sessions::sign_in(&mut tx, &found, rehashed.as_deref(), &settings).await?;
        let session = session.ok_or_else(Problem::invalid_credentials)?;
        let device_token = devices::remember(&mut tx, found.user.id, device.as_ref()).await?;
        attempt.succeed(&mut tx, app.now()).await?;
        tx.commit().await?;
        Ok(Json(SignIn { user: found.user.into(), tokens: self.tokens(session)?, device_token }))
    }

    /// Refresh a session
    ///
    /// Exchanges the refresh token for its successor and a new access token, and extends the session. If the answer was lost, or
    /// two tabs refresh at once, the same token may be sent again: as long as its successor was not used, the answer
    /// contains the same successor. Once it was, sending the token again means that one of the two was stolen, and ends the
    /// whole session.
    #[oai(path = "/auth/refresh", method = "post", operation_id = "refreshSession", tag = Tag::Auth)]
    async fn refresh(&self, client: Client, body: Body<RefreshRequest>) -> Result<Json<Tokens>, Problem> {
        let mut tx = self.app.begin_for(&client.0).await?;
        let settings = self.app.settings(&mut tx).await?;
        let refresh = sessions::refresh(&mut tx, &body.refresh_token, &settings).await?;
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
    async fn logout(&self, caller: SignedIn) -> Result<NoContent, Problem> {
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
    let first_name = PersonName::parse(&body.first_name);
    if first_name.is_none() {
        wrong("/first_name", "1 to 100 characters are expected, no control characters.");
    }
    let last_name = body.last_name.as_deref().map(PersonName::parse);
    if last_name == Some(None) {
        wrong("/last_name", "1 to 100 characters are expected, no control characters.");
    }
    let password = parse_password(body);
    if let Err(fault) = password {
        errors.push(FieldError::at("/password", fault.code(), fault.message()));
    }
    match (email, password, first_name) {
        (Some(email), Ok(password), Some(first_name)) if errors.is_empty() => {
            Ok((email, password, first_name, last_name.flatten()))
        }
        _ => Err(Problem::invalid_body().with_errors(errors)),
    }
}

fn parse_password(body: &RegisterRequest) -> Result<Password, PasswordFault> {
    let password = Password::parse(&body.password)?;
    let (email, first_name) = (body.email.clone(), body.first_name.clone());
    password.check_owner(&Person { email, first_name, last_name: body.last_name.clone() })?;
    Ok(password)
}
