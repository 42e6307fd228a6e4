//! The signed-in user.

use cairn_core::users::accounts;
use chrono::{DateTime, Utc};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::view::view;
use crate::{App, Problem};

/// The signed-in user.
pub struct MeApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

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
        /// The first name.
        first_name: String,
        /// The last name; null if there is none.
        last_name: Option<String>,
        /// The role.
        role: Role,
        /// The completed share of the required lessons of all started roadmaps, in whole percent; null if there are none.
        #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
        progress_percent: Option<i16>,
        /// When the account was created.
        created_at: DateTime<Utc>,
    }
}

#[OpenApi]
impl MeApi {
    /// Get my account
    ///
    /// The signed-in user, with the overall progress.
    #[oai(path = "/me", method = "get", operation_id = "getMe", tag = Tag::Me)]
    async fn get_me(&self, caller: Member) -> Result<Json<User>, Problem> {
        let mut connection = self.app.connection().await?;
        let user = accounts::find_me(&mut connection, &caller).await?;
        Ok(Json(user.into()))
    }
}
