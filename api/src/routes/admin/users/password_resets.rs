//! One-time links to set a new password.

use cairn_core::users::resets;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::time::Time;
use crate::{App, Code, Problem};

/// One-time links to set a new password.
pub struct PasswordResetsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("createPasswordReset", &[Code::ResourceDeleted])];

/// A one-time token to set a new password with.
#[derive(Clone, Debug, Object)]
pub struct PasswordReset {
    /// The token, for `resetPassword`. It is shown only here; pass it on to the user and to nobody else.
    pub token: String,
    /// When it stops being valid.
    pub expires_at: Time,
}

#[OpenApi]
impl PasswordResetsApi {
    /// Create a reset link for a user
    ///
    /// The token is valid for 24 hours and can be used once, with `resetPassword`. A token that was created before is not
    /// valid any more. The password of the account stays as it is until the token is used.
    #[oai(
        path = "/admin/users/:user_id/password-reset",
        method = "post",
        operation_id = "createPasswordReset",
        tag = Tag::AdminUsers
    )]
    async fn create_password_reset(
        &self,
        caller: Admin,
        /// The user.
        user_id: Path<Uuid>,
    ) -> Result<Json<PasswordReset>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let reset = resets::create(&mut tx, user_id.0).await?;
        tx.commit().await?;
        Ok(Json(PasswordReset { token: reset.token, expires_at: reset.expires_at.into() }))
    }
}
