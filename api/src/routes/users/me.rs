//! The signed-in user.

use cairn_core::users::directory::Account;
use cairn_core::users::{accounts, erasure, profile};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::answers::NoContent;
use crate::caller::{Member, SignedIn};
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes};
use crate::time::Time;
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// The signed-in user.
pub struct MeApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("deleteMe", &[Code::WrongPassword, Code::LastAdmin])];

/// A user's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "cairn_core::actor::Role")]
pub enum Role {
    /// Learns.
    Student,
    /// Watches progress and moderates.
    Mentor,
    /// Runs the platform.
    Admin,
}

view! {
    /// An account, as its owner sees it.
    pub struct User from accounts::User {
        /// Identifies the user.
        id: Uuid,
        /// The email address, as it was typed.
        email: String,
        /// Whether the user has verified it with a link.
        is_email_verified: bool,
        /// The first name.
        first_name: String,
        /// The last name; null if there is none.
        last_name: Option<String>,
        /// The URL of a picture; null if there is none.
        avatar_url: Option<String>,
        /// The role.
        role: Role,
        /// The completed share of the required lessons of all started roadmaps, in whole percent; null if there are none.
        #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
        progress_percent: Option<i16>,
        /// When the account was created.
        created_at: Time,
    }
}

fields! {
    /// What users say of themselves.
    pub struct NewProfile of Account {
        /// The first name.
        #[oai(validator(min_length = 1, max_length = 100))]
        first_name: String,
        /// The last name; null if there is none.
        #[oai(validator(min_length = 1, max_length = 100))]
        last_name: Option<String>,
        /// The URL of a picture; null if there is none.
        #[oai(validator(max_length = 2000, pattern = "^https?://\\S+$"))]
        avatar_url: Option<String>,
    }
}

/// The deletion of an account.
#[derive(Object)]
pub struct AccountDeletion {
    /// The password of the account.
    #[oai(validator(min_length = 1, max_length = 128))]
    pub password: String,
}

#[OpenApi]
impl MeApi {
    /// Get my account
    ///
    /// The signed-in user, with the overall progress.
    #[oai(path = "/me", method = "get", operation_id = "getMe", tag = Tag::Me)]
    async fn get_me(&self, caller: SignedIn) -> Result<Json<User>, Problem> {
        let mut connection = self.app.connection().await?;
        let user = accounts::find_me(&mut connection, &caller).await?.ok_or_else(Problem::unauthorized)?;
        Ok(Json(user.into()))
    }

    /// Update my account
    ///
    /// Members that are left out stay as they are, and null clears those that may be null.
    #[oai(path = "/me", method = "patch", operation_id = "updateMe", tag = Tag::Me)]
    async fn update_me(&self, caller: Member, body: Body<Changes<NewProfile>>) -> Result<Json<User>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let user = profile::edit(&mut tx, body.edit(NewProfile::set)).await?.ok_or_else(Problem::unauthorized)?;
        tx.commit().await?;
        Ok(Json(user.into()))
    }

    /// Delete my account
    ///
    /// Needs the password. All sessions end at once, and the email address can be used for a new account. What is stored
    /// about the user is erased: profile, progress, chats, favorites, likes and projects; what remains in the record of
    /// activities has no name and no address. This cannot be undone. The last active admin cannot delete their account.
    #[oai(path = "/me", method = "delete", operation_id = "deleteMe", tag = Tag::Me)]
    async fn delete_me(&self, caller: Member, body: Body<AccountDeletion>) -> Result<NoContent, Problem> {
        let checked = self.app.check_password(&caller, &body.password).await?.password_hash;
        let mut tx = self.app.begin_as(&caller).await?;
        erasure::delete_me(&mut tx, checked.as_deref()).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}
