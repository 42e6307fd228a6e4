//! Accounts as admins see and edit them.
//!
//! An account that its owner deleted is erased and exists for nobody any more ([`super::erasure`]). One that an admin
//! deleted can be restored.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::{Email, PersonName};
use crate::Result;
use crate::activity::Verb;
use crate::actor::Role;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{Edit, Refusal, Resource};

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, sqlx::Type)]
#[sqlx(type_name = "user_status", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// They may.
    #[default]
    Active,
    /// An admin has suspended them.
    Suspended,
}

/// An account. Its password is not part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// Identifies the user.
    pub id: Uuid,
    /// Unique among live accounts by its key.
    pub email: String,
    /// 1–100 characters.
    pub first_name: String,
    /// 1–100 characters; `None` if there is none.
    pub last_name: Option<String>,
    /// The address of a picture.
    pub avatar_url: Option<String>,
    /// Decides what the user may do.
    pub role: Role,
    /// Whether they may sign in.
    pub status: UserStatus,
    /// Why they are suspended, for admins; `None` while they are not.
    pub suspension_reason: Option<String>,
    /// The invite that they registered with.
    #[serde(skip)]
    pub invite_id: Option<Uuid>,
    /// First and last name, as stored.
    #[serde(skip)]
    pub name: String,
    /// Whether they have proved that the email address is theirs.
    #[serde(skip)]
    pub is_email_verified: bool,
    /// Whether a password is set, so that they can sign in.
    #[serde(skip)]
    pub has_password: bool,
    /// How far they are.
    #[serde(skip)]
    pub progress: Progress,
    /// When they were last active, to the minute.
    #[serde(skip)]
    pub last_active_at: Option<DateTime<Utc>>,
    /// Raised by every change.
    pub version: i64,
    /// When they registered or were created.
    pub created_at: DateTime<Utc>,
    /// When the account was last changed.
    pub updated_at: DateTime<Utc>,
    /// When an admin deleted it; `None` while it is live.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A user's progress in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whole percent of the required lessons of all started roadmaps; `None` if they started none.
    pub percent: Option<i16>,
    /// Lessons that they completed.
    pub lessons_completed: i64,
    /// Roadmaps that they started.
    pub roadmaps_started: i64,
    /// Roadmaps that they completed.
    pub roadmaps_completed: i64,
}

/// Selects accounts from `$from`, which provides the rows `u` of `users`.
macro_rules! select_accounts {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query!(
            $with
                + r#" SELECT u.id AS "id!", u.email AS "email!", u.first_name AS "first_name!", u.last_name,
                       u.avatar_url AS "avatar_url: String", u.role AS "role!: Role", u.status AS "status!: UserStatus",
                       u.suspension_reason, u.invite_id,
                       u.first_name || coalesce(' ' || u.last_name, '') AS "name!",
                       u.email_verified_at IS NOT NULL AS "is_email_verified!",
                       u.password_hash IS NOT NULL AS "has_password!", u.progress_percent,
                       (SELECT count(*) FROM user_lesson_progress f WHERE f.user_id = u.id AND f.status = 'completed')
                           AS "lessons_completed!",
                       (SELECT count(*) FROM user_roadmap_progress p WHERE p.user_id = u.id) AS "roadmaps_started!",
                       (SELECT count(*) FROM user_roadmap_progress p WHERE p.user_id = u.id AND p.status = 'completed')
                           AS "roadmaps_completed!",
                       u.last_active_at, u.version AS "version!", u.created_at AS "created_at!",
                       u.updated_at AS "updated_at!", u.deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
        .map(|row| Account {
            id: row.id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            avatar_url: row.avatar_url,
            role: row.role,
            status: row.status,
            suspension_reason: row.suspension_reason,
            invite_id: row.invite_id,
            name: row.name,
            is_email_verified: row.is_email_verified,
            has_password: row.has_password,
            progress: Progress {
                percent: row.progress_percent,
                lessons_completed: row.lessons_completed,
                roadmaps_started: row.roadmaps_started,
                roadmaps_completed: row.roadmaps_completed,
            },
            last_active_at: row.last_active_at,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
        })
    };
}

impl Account {
    /// An account that is not stored yet. It has no password, so its owner sets one with a one-time link.
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            email: String::new(),
            first_name: String::new(),
            last_name: None,
            avatar_url: None,
            role: Role::Student,
            status: UserStatus::Active,
            suspension_reason: None,
            invite_id: None,
            name: String::new(),
            is_email_verified: false,
            has_password: false,
            progress: Progress::default(),
            last_active_at: None,
            version: 0,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            deleted_at: None,
        }
    }
}

impl Resource for Account {
    const NOUN: Noun = Noun::User;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let account =
            select_accounts!("", "users u WHERE u.id = $1 AND u.erased_at IS NULL FOR NO KEY UPDATE OF u", id);
        Ok(account.fetch_optional(connection).await?)
    }

    /// A trigger ends the sessions of an account that is suspended, deleted or given another role.
    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let (email, first_name, last_name) = self.parsed().map_err(Rejected::Refused)?;
        let saved = select_accounts!(
            "WITH u AS (
                 INSERT INTO users (id, email, email_key, first_name, last_name, avatar_url, role, status, suspension_reason,
                     deleted_at)
                 VALUES ($1, $2, $3, $4, $5, $6::text, $7, $8, $9, $10)
                 ON CONFLICT (id) DO UPDATE SET email = excluded.email, email_key = excluded.email_key,
                     first_name = excluded.first_name, last_name = excluded.last_name, avatar_url = excluded.avatar_url, role = excluded.role,
                     status = excluded.status, suspension_reason = excluded.suspension_reason,
                     deleted_at = excluded.deleted_at
                 RETURNING *
             )",
            "u",
            self.id,
            email.as_str(),
            email.key(),
            first_name.as_str(),
            last_name.as_ref().map(PersonName::as_str),
            self.avatar_url,
            self.role as Role,
            self.status as UserStatus,
            self.suspension_reason,
            self.deleted_at,
        );
        let saved = saved.fetch_one(connection).await;
        let saved = saved.on_constraint("users_email_key", Refusal::Taken { member: "email" });
        saved.on_constraint("users_keep_an_admin", Refusal::LastAdmin)
    }
}

impl Account {
    fn parsed(&self) -> Result<(Email, PersonName, Option<PersonName>), Refusal> {
        let name = |pointer: &'static str, text: &str| {
            let message = "A name of 1 to 100 characters without control characters is expected.";
            PersonName::parse(text)
                .ok_or_else(|| Refusal::Invalid { pointer: pointer.into(), message: message.to_owned() })
        };
        let email = Email::parse(&self.email).ok_or_else(|| Refusal::Invalid {
            pointer: "/email".into(),
            message: "An email address is expected.".to_owned(),
        })?;
        let last_name = self.last_name.as_deref().map(|text| name("/last_name", text)).transpose()?;
        Ok((email, name("/first_name", &self.first_name)?, last_name))
    }
}

/// Finds an account, deleted or not.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Account, Rejected<NotFound>> {
    let account = select_accounts!("", "users u WHERE u.id = $1 AND u.erased_at IS NULL", id);
    account.fetch_optional(connection).await?.or_not_found(Noun::User)
}

/// The accounts with these ids, deleted or not, locked in the order of their ids until the end of the transaction.
pub(super) async fn lock_all(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Account>> {
    let accounts = select_accounts!(
        "",
        "users u WHERE u.id = ANY ($1) AND u.erased_at IS NULL ORDER BY u.id FOR NO KEY UPDATE OF u",
        ids
    );
    Ok(accounts.fetch_all(connection).await?)
}

/// Suspends the account: its sessions end, and nobody can sign in until it is resumed.
pub fn suspend(reason: Option<String>) -> Edit<Account> {
    Edit::new(Verb::Suspended, move |account: &mut Account| {
        account.status = UserStatus::Suspended;
        account.suspension_reason = reason;
        Ok(())
    })
}

/// Ends the suspension. The sessions that it ended stay ended.
pub fn resume() -> Edit<Account> {
    Edit::new(Verb::Resumed, |account: &mut Account| {
        account.status = UserStatus::Active;
        account.suspension_reason = None;
        Ok(())
    })
}
