//! Passwords.

use cairn_core::users::password_rules::{Password, PasswordFault};
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
    /// The new password: 10 to 128 characters, not a common password, and not one's own address or name.
    #[oai(validator(min_length = 10, max_length = 128))]
    pub new_password: String,
}

/// A new password, with the token of a reset link.
#[derive(Object)]
pub struct PasswordResetRequest {
    /// The token of the link.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub token: String,
    /// The new password: 10 to 128 characters, not a common password, and not one's own address or name.
    #[oai(validator(min_length = 10, max_length = 128))]
    pub new_password: String,
}

#[OpenApi]
impl PasswordApi {
    /// Update my password
    ///
    /// Needs the current one. All other sessions end; the one that calls goes on. `errors` says which rule a password violates
    /// that is not accepted: `too_short`, `too_long`, `common_password`, `personal_password` (the user's address or name) or
    /// `same_password`.
    #[oai(path = "/me/password", method = "put", operation_id = "changePassword", tag = Tag::Me)]
    async fn change_password(&self, caller: Member, body: Body<PasswordChange>) -> Result<NoContent, Problem> {
        let new = Password::parse(&body.new_password).map_err(refused)?;
        new.check_new(&body.current_password).map_err(refused)?;
        let current = self.app.check_password(&caller, &body.current_password).await?;
        new.check_owner(&current.person).map_err(refused)?;
        let hash = self.app.passwords.hash(&new).await?;
        let mut tx = self.app.begin_as(&caller).await?;
        profile::change_password(&mut tx, current.password_hash.as_deref(), &hash).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Update a password with a reset link
    ///
    /// The token of a link, which an admin creates, can be used once. All sessions of the account end; sign in with the new
    /// password, and with the same token as `device_token`, so that nobody else's attempts are in the way. `errors` says which
    /// rule a new password violates, as in `changePassword`.
    #[oai(path = "/auth/password-reset", method = "post", operation_id = "resetPassword", tag = Tag::Auth)]
    async fn reset_password(&self, client: Client, body: Body<PasswordResetRequest>) -> Result<NoContent, Problem> {
        let (app, new) = (&self.app, Password::parse(&body.new_password).map_err(refused)?);
        let person = resets::check(&mut *app.connection().await?, &body.token, app.now()).await?;
        new.check_owner(&person).map_err(refused)?;
        let hash = app.passwords.hash(&new).await?;
        let mut tx = app.begin_for(&client.0).await?;
        let email_key = resets::redeem(&mut tx, &body.token, &hash).await?;
        app.attempts.forget(&mut tx, &email_key).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}

fn refused(fault: PasswordFault) -> Problem {
    Problem::invalid_field("/new_password", fault.code(), fault.message())
}
