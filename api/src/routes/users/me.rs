//! The signed-in user.

use cairn_core::users::accounts;
use chrono::{DateTime, Utc};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Problem};

/// The signed-in user.
pub struct MeApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum Role {
    /// Learns.
    Student,
    /// Watches progress and moderates.
    Mentor,
    /// Runs the platform.
    Admin,
}

impl From<cairn_core::actor::Role> for Role {
    fn from(role: cairn_core::actor::Role) -> Self {
        match role {
            cairn_core::actor::Role::Student => Self::Student,
            cairn_core::actor::Role::Mentor => Self::Mentor,
            cairn_core::actor::Role::Admin => Self::Admin,
        }
    }
}

/// A person, as they see themselves.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct User {
    /// Never changes.
    pub id: Uuid,
    /// As it was typed.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name, if there is one.
    pub last_name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Completed share of the required lessons of all roadmaps that were started; null while there is nothing to do.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub progress_percent: Option<i32>,
    /// When they registered.
    pub created_at: DateTime<Utc>,
}

impl Example for User {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d70),
            email: "learner@example.com".to_owned(),
            first_name: "Demo".to_owned(),
            last_name: Some("Learner".to_owned()),
            role: Role::Student,
            progress_percent: Some(42),
            created_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000),
        }
    }
}

impl From<accounts::User> for User {
    fn from(user: accounts::User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            role: user.role.into(),
            progress_percent: user.progress_percent.map(i32::from),
            created_at: user.created_at,
        }
    }
}

#[OpenApi]
impl MeApi {
    /// Get my account
    ///
    /// Who is signed in, with their overall progress.
    #[oai(path = "/me", method = "get", operation_id = "getMe", tag = Tag::Me)]
    async fn get_me(&self, caller: Member) -> Result<Json<User>, Problem> {
        let mut connection = self.app.connection().await?;
        let user = accounts::find_me(&mut connection, &caller).await?;
        Ok(Json(user.into()))
    }
}
