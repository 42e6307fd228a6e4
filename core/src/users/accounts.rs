//! Accounts: registering, finding, who is who.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::invites::{self, InviteRefusal};
use super::rules::{Email, PersonName};
use super::{Caller, Origin, Role};
use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::admin::settings::{self, RegistrationMode};
use crate::clock::{Clock, new_id};
use crate::db::Tx;

/// A person, as they see themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// Their address, as they typed it.
    pub email: String,
    /// First name.
    pub first_name: String,
    /// Last name, if they gave one.
    pub last_name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Over the required lessons of all roadmaps they started; none = nothing to do yet.
    pub progress_percent: Option<i16>,
    /// When they registered.
    pub created_at: DateTime<Utc>,
}

/// Who registers.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Their address.
    pub email: Email,
    /// First name.
    pub first_name: PersonName,
    /// Last name, if they give one.
    pub last_name: Option<PersonName>,
    /// From [`super::passwords::Passwords::hash`].
    pub password_hash: String,
}

/// How a registration ends. Roll back unless it is `Registered`.
#[derive(Clone, Debug)]
pub enum Registration {
    /// The account exists if the transaction commits.
    Registered(User),
    /// It does not.
    Refused(RegistrationRefusal),
}

/// Why somebody cannot register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationRefusal {
    /// The platform takes invited people only, and there was no code.
    InviteRequired,
    /// The invite lets nobody in.
    Invite(InviteRefusal),
    /// A live account has this address.
    EmailTaken,
}

/// What is needed to check a password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Whose.
    pub user: User,
    /// The stored hash; none = nobody can sign in until a reset.
    pub password_hash: Option<String>,
    /// Suspended people are told so, but only after their password was right.
    pub is_suspended: bool,
}

/// Why somebody with this invite, or without one, would be refused whoever they are. Asked before the password is
/// hashed, so that guessing codes is no way to keep us busy; [`register`] decides.
pub async fn would_refuse(
    connection: &mut PgConnection,
    invite_code: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<RegistrationRefusal>> {
    if let Some(code) = invite_code {
        return Ok(invites::refusal(connection, code, now).await?.map(RegistrationRefusal::Invite));
    }
    let closed = settings::load(connection).await?.registration_mode == RegistrationMode::Invite;
    Ok(closed.then_some(RegistrationRefusal::InviteRequired))
}

/// Registers somebody, with the role that the invite gives.
pub async fn register(
    tx: &mut Tx,
    clock: &Clock,
    new: &NewAccount,
    invite_code: Option<&str>,
    origin: &Origin,
) -> Result<Registration> {
    if invite_code.is_none()
        && let Some(refusal) = would_refuse(tx, None, clock.now()).await?
    {
        return Ok(Registration::Refused(refusal));
    }
    let invite = match invite_code {
        None => None,
        Some(code) => match invites::redeem(tx, code, clock.now()).await? {
            Ok(invite) => Some(invite),
            Err(refusal) => return Ok(Registration::Refused(RegistrationRefusal::Invite(refusal))),
        },
    };
    let role = invite.map_or(Role::Student, |invite| invite.role);
    let Some(user) = insert(tx, clock, new, role, invite.map(|invite| invite.id)).await? else {
        return Ok(Registration::Refused(RegistrationRefusal::EmailTaken));
    };
    let mut event = Event::of(Some(user.id), clock, Action::UserRegistered, Some(target(&user)));
    event.origin = origin.clone();
    event.with(serde_json::json!({"role": role, "invite_id": invite.map(|invite| invite.id)})).record(tx)?;
    Ok(Registration::Registered(user))
}

/// Makes an admin; none if a live account has the address. For the command line.
pub async fn create_admin(tx: &mut Tx, clock: &Clock, new: &NewAccount) -> Result<Option<User>> {
    let user = insert(tx, clock, new, Role::Admin, None).await?;
    if let Some(user) = &user {
        Event::of(None, clock, Action::AdminCreated, Some(target(user))).record(tx)?;
    }
    Ok(user)
}

/// Inserts the row, or nothing if a live account has the address, however it is written.
async fn insert(
    connection: &mut PgConnection,
    clock: &Clock,
    new: &NewAccount,
    role: Role,
    invite_id: Option<Uuid>,
) -> Result<Option<User>> {
    let user = sqlx::query_as!(
        User,
        r#"INSERT INTO users (id, email, first_name, last_name, password_hash, role, invite_id, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (lower(email)) WHERE deleted_at IS NULL DO NOTHING
           RETURNING id, email, first_name, last_name, role AS "role: Role", progress_percent, created_at"#,
        new_id(),
        new.email.as_str(),
        new.first_name.as_str(),
        new.last_name.as_ref().map(PersonName::as_str),
        new.password_hash,
        role as Role,
        invite_id,
        clock.now()
    )
    .fetch_optional(connection)
    .await?;
    Ok(user)
}

/// The live account with that address, for checking a password.
pub async fn find_credentials(connection: &mut PgConnection, email: &Email) -> Result<Option<Credentials>> {
    let row = sqlx::query!(
        r#"SELECT id, email, first_name, last_name, role AS "role: Role", progress_percent, created_at, password_hash,
                  status = 'suspended' AS "is_suspended!"
           FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL"#,
        email.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Credentials {
        user: User {
            id: row.id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            role: row.role,
            progress_percent: row.progress_percent,
            created_at: row.created_at,
        },
        password_hash: row.password_hash,
        is_suspended: row.is_suspended,
    }))
}

/// The caller's own account; none if it was deleted a moment ago.
pub async fn find_me(connection: &mut PgConnection, caller: &Caller) -> Result<Option<User>> {
    let user = sqlx::query_as!(
        User,
        r#"SELECT id, email, first_name, last_name, role AS "role: Role", progress_percent, created_at
           FROM users WHERE id = $1 AND deleted_at IS NULL"#,
        caller.user_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(user)
}

/// The account as the target of an event.
pub(super) fn target(user: &User) -> Target {
    let name = [Some(user.first_name.as_str()), user.last_name.as_deref()];
    Target::new("user", user.id, &name.into_iter().flatten().collect::<Vec<_>>().join(" "))
}
