//! Accounts: registering, and finding accounts.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::invites::{self, InviteRefusal};
use super::mail;
use super::rules::{Email, PersonName};
pub use super::user::{Credentials, User};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::actor::{Caller, Role};
use crate::clock::new_id;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{OnConstraint, Rejected};
use crate::settings::{self, EmailVerification, RegistrationMode, Settings};

/// The data of a new account.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Unique among live accounts by its key.
    pub email: Email,
    /// Required.
    pub first_name: PersonName,
    /// `None` if the user gives no last name.
    pub last_name: Option<PersonName>,
    /// The result of [`super::passwords::Passwords::hash`].
    pub password_hash: String,
}

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationRefusal {
    /// The platform requires an invite, and there was none.
    InviteRequired,
    /// The invite is not valid.
    Invite(InviteRefusal),
    /// A live account already has this email address.
    EmailTaken,
}

/// Refuses a registration that would be refused whatever the account's data is. Called before the password is hashed, so
/// that guessing invite codes does not cost the service any hashing. [`register`] makes the final decision.
pub async fn check_eligibility(
    connection: &mut PgConnection,
    invite_code: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Rejected<RegistrationRefusal>> {
    if let Some(code) = invite_code {
        return invites::check(connection, code, now).await.map_err(Rejected::widen);
    }
    match settings::load(connection).await?.registration_mode {
        RegistrationMode::Open => Ok(()),
        RegistrationMode::Invite => Err(Rejected::Refused(RegistrationRefusal::InviteRequired)),
    }
}

/// Creates an account with the role of the invite.
pub async fn register(
    tx: &mut Tx,
    new: &NewAccount,
    invite_code: Option<&str>,
    settings: &Settings,
) -> Result<User, Rejected<RegistrationRefusal>> {
    let now = tx.now();
    let invite = match invite_code {
        None => {
            check_eligibility(tx, None, now).await?;
            None
        }
        Some(code) => Some(invites::redeem(tx, code, now).await.map_err(Rejected::widen)?),
    };
    let role = invite.map_or(Role::Student, |invite| invite.role);
    let user = insert(tx, new, role, invite.map(|invite| invite.id)).await?;
    let details = serde_json::json!({"role": role, "invite_id": invite.map(|invite| invite.id)});
    tx.record(Action::new(Noun::User, Verb::Registered).on(user.id, &user.name()).by(user.id).with(details))?;
    if settings.email_verification == EmailVerification::Required {
        mail::request_verification(tx, user.id)?;
    }
    Ok(user)
}

/// Creates an account with any role and without an invite, for the command line.
pub async fn create(tx: &mut Tx, new: &NewAccount, role: Role) -> Result<User, Rejected<RegistrationRefusal>> {
    let user = insert(tx, new, role, None).await?;
    let action = match role {
        Role::Admin => Action::new(Noun::Admin, Verb::Created),
        Role::Mentor | Role::Student => Action::new(Noun::User, Verb::Registered),
    };
    tx.record(action.target(Some(Target::new(Noun::User, user.id, &user.name()))))?;
    Ok(user)
}

/// Whether the database has no accounts, not even deleted ones.
pub async fn has_no_users(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT NOT EXISTS (SELECT FROM users) AS "empty!""#).fetch_one(connection).await?)
}

async fn insert(
    tx: &mut Tx,
    new: &NewAccount,
    role: Role,
    invite_id: Option<Uuid>,
) -> Result<User, Rejected<RegistrationRefusal>> {
    sqlx::query_as!(
        User,
        r#"INSERT INTO users (id, email, email_key, first_name, last_name, password_hash, role, invite_id, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           RETURNING id, email, email_verified_at IS NOT NULL AS "is_email_verified!", first_name, last_name, avatar_url AS "avatar_url: String", role AS "role: Role", progress_percent, created_at"#,
        new_id(),
        new.email.as_str(),
        new.email.key(),
        new.first_name.as_str(),
        new.last_name.as_ref().map(PersonName::as_str),
        new.password_hash,
        role as Role,
        invite_id,
        tx.now()
    )
    .fetch_one(&mut **tx)
    .await
    .on_constraint("users_email_key", RegistrationRefusal::EmailTaken)
}

/// Finds the live account with an email address, for checking a password.
pub async fn find_credentials(connection: &mut PgConnection, email: &Email) -> Result<Option<Credentials>> {
    let row = sqlx::query!(
        r#"SELECT id, email, email_verified_at IS NOT NULL AS "is_email_verified!", first_name, last_name,
                  avatar_url AS "avatar_url: String", role AS "role: Role", progress_percent,
                  created_at, password_hash,
                  status = 'suspended' AS "is_suspended!"
           FROM users WHERE email_key = $1 AND deleted_at IS NULL"#,
        email.key()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Credentials {
        user: User {
            id: row.id,
            email: row.email,
            is_email_verified: row.is_email_verified,
            first_name: row.first_name,
            last_name: row.last_name,
            avatar_url: row.avatar_url,
            role: row.role,
            progress_percent: row.progress_percent,
            created_at: row.created_at,
        },
        password_hash: row.password_hash,
        is_suspended: row.is_suspended,
    }))
}

/// Finds the caller's own account; `None` if it was deleted in the meantime.
pub async fn find_me(connection: &mut PgConnection, caller: &Caller) -> Result<Option<User>> {
    let user = sqlx::query_as!(
        User,
        r#"SELECT id, email, email_verified_at IS NOT NULL AS "is_email_verified!", first_name, last_name,
                  avatar_url AS "avatar_url: String", role AS "role: Role", progress_percent,
               created_at
           FROM users WHERE id = $1 AND deleted_at IS NULL"#,
        caller.user_id
    );
    Ok(user.fetch_optional(connection).await?)
}

impl From<InviteRefusal> for RegistrationRefusal {
    fn from(refusal: InviteRefusal) -> Self {
        Self::Invite(refusal)
    }
}
