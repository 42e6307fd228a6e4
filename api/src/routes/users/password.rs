//! Passwords.

use cairn_core::users::rules::Password;
use cairn_core::users::{profile, resets};
use poem_openapi::{Object, OpenApi};

use crate::answers::NoContent;
use crate::caller::{Client, Member};
use crate::operation::{Problems, Tag};
use crate::params::Body;
use crate::{App, Code, Problem};

/// Passwords.
pub struct PasswordApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems =
    &[("changePassword", &[Code::WrongPassword]), ("resetPassword", &[Code::InvalidResetToken])];

/// A change of the password.
#[derive(Object)]
pub struct PasswordChange {
    /// The password as it is.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub current_password: String,
    /// The new password: any 10 to 128 characters.
    #[oai(validator(min_length = 10, max_length = 128))]
    pub new_password: String,
}

/// A new password, with the token of a reset link.
#[derive(Object)]
pub struct PasswordResetRequest {
    /// The token of the link.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub token: String,
    /// The new password: any 10 to 128 characters.
    #[oai(validator(min_length = 10, max_length = 128))]
    pub new_password: String,
}

#[OpenApi]
impl PasswordApi {
    /// Update my password
    ///
    /// Needs the current one. All other sessions end; the one that calls goes on.
    #[oai(path = "/me/password", method = "put", operation_id = "changePassword", tag = Tag::Me)]
    async fn change_password(&self, caller: Member, body: Body<PasswordChange>) -> Result<NoContent, Problem> {
        let new = new_password(&body.new_password)?;
        let checked = self.app.check_password(&caller, &body.current_password).await?;
        let hash = self.app.passwords.hash(&new).await?;
        let mut tx = self.app.begin_as(&caller).await?;
        profile::change_password(&mut tx, checked.as_deref(), &hash).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Update a password with a reset link
    ///
    /// The token of a link, which an admin creates, can be used once. All sessions of the account end; sign in with the new
    /// password, and with the same token as `device_token`, so that nobody else's attempts are in the way.
    #[oai(path = "/auth/password-reset", method = "post", operation_id = "resetPassword", tag = Tag::Auth)]
    async fn reset_password(&self, client: Client, body: Body<PasswordResetRequest>) -> Result<NoContent, Problem> {
        let (app, new) = (&self.app, new_password(&body.new_password)?);
        resets::check(&mut *app.connection().await?, &body.token, app.now()).await?;
        let hash = app.passwords.hash(&new).await?;
        let mut tx = app.begin_for(&client.0).await?;
        let email_key = resets::redeem(&mut tx, &body.token, &hash).await?;
        app.attempts.forget(&mut tx, &email_key).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}

/// The schema has checked the length.
fn new_password(text: &str) -> Result<Password, Problem> {
    let message = "10 to 128 characters are expected.";
    Password::parse(text).ok_or_else(|| Problem::invalid_field("/new_password", "malformed", message))
}
