//! Links that are sent by mail.

use cairn_core::users::rules::Email;
use cairn_core::users::{mail, verifications};
use poem_openapi::{Object, OpenApi};

use crate::answers::{NoContent, Requested};
use crate::caller::{Client, SignedIn};
use crate::operation::{Problems, Tag};
use crate::params::Body;
use crate::{App, Code, Problem};

/// Links that are sent by mail.
pub struct MailApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("verifyEmail", &[Code::InvalidVerificationToken])];

/// Who asks for a link for a new password.
#[derive(Object)]
pub struct PasswordResetMailRequest {
    /// The email address of the account.
    #[oai(validator(min_length = 3, max_length = 254))]
    pub email: String,
}

/// The token of a link.
#[derive(Object)]
pub struct EmailVerificationRequest {
    /// The token.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub token: String,
}

#[OpenApi]
impl MailApi {
    /// Request a password reset
    ///
    /// Sends a mail with a link for a new password (`resetPassword`), if there is an account with this address, at most once a
    /// minute. The answer is the same if there is none.
    #[oai(
        path = "/auth/password-reset-request",
        method = "post",
        operation_id = "requestPasswordReset",
        tag = Tag::Auth
    )]
    async fn request_password_reset(
        &self,
        client: Client,
        body: Body<PasswordResetMailRequest>,
    ) -> Result<Requested, Problem> {
        let message = "An email address is expected.";
        let email = Email::parse(&body.email).ok_or_else(|| Problem::invalid_field("/email", "malformed", message))?;
        let mut tx = self.app.begin_for(&client.0).await?;
        mail::request_password_reset(&mut tx, &email).await?;
        tx.commit().await?;
        Ok(Requested)
    }

    /// Request a verification of my email address
    ///
    /// Sends a mail with a link (`verifyEmail`), at most once a minute, unless the address is verified already.
    #[oai(
        path = "/me/email-verification",
        method = "post",
        operation_id = "requestEmailVerification",
        tag = Tag::Me
    )]
    async fn request_email_verification(&self, caller: SignedIn) -> Result<Requested, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let user_id = tx.caller().user_id;
        mail::request_verification(&mut tx, user_id)?;
        tx.commit().await?;
        Ok(Requested)
    }

    /// Verify an email address
    ///
    /// The token of the link that was sent to the address can be used once, within 24 hours. It need not be used where the user is
    /// signed in.
    #[oai(path = "/auth/email-verification", method = "post", operation_id = "verifyEmail", tag = Tag::Auth)]
    async fn verify_email(&self, client: Client, body: Body<EmailVerificationRequest>) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_for(&client.0).await?;
        verifications::redeem(&mut tx, &body.token).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
