//! One-time links with which users set a new password. An admin creates one and passes it on, or the user asks for a mail with one
//! ([`super::mail`]).
//!
//! The token consists of 256 random bits, of which only the SHA-256 is stored. Using it deletes it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::devices;
use super::directory::Account;
use super::password_rules::Person;
use super::sessions::{self, Revocation, hash};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{OrRefuse, Rejected};
use crate::resource::{Refusal, Resource};

/// How long a link can be used.
pub const RESET_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// A link that was just created.
#[derive(Clone, Debug)]
pub struct Reset {
    /// The token. Not stored, so it cannot be shown again.
    pub token: String,
    /// When it stops being valid.
    pub expires_at: DateTime<Utc>,
}

/// The token is unknown, was used or replaced, or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidReset;

/// Creates a link for a live account. An earlier one can no longer be used.
pub async fn create(tx: &mut Tx, user_id: Uuid) -> Result<Reset, Rejected<Refusal>> {
    let account = Account::lock(tx, user_id).await?.or_not_found(Noun::User)?;
    if account.deleted_at.is_some() {
        return Err(Rejected::Refused(Refusal::Deleted));
    }
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let (now, expires_at) = (tx.now(), tx.now() + RESET_LIFETIME);
    sqlx::query!(
        "INSERT INTO password_resets (user_id, token_hash, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, created_by = excluded.created_by,
             created_at = excluded.created_at, expires_at = excluded.expires_at, delivered_at = NULL",
        user_id,
        &hash(&token),
        tx.actor().user_id,
        now,
        expires_at
    )
    .execute(&mut **tx)
    .await?;
    let target = Target::new(Noun::User, user_id, &account.name);
    let details = serde_json::json!({ "expires_at": expires_at });
    tx.record(Action::new(Noun::PasswordReset, Verb::Created).target(Some(target)).with(details))?;
    Ok(Reset { token, expires_at })
}

/// Whose link it is, for checking the new password. Refuses a token that cannot be used. Called before the new password is
/// hashed, so that guessing costs the service no hashing. [`redeem`] makes the final decision.
pub async fn check(
    connection: &mut PgConnection,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Person, Rejected<InvalidReset>> {
    sqlx::query_as!(
        Person,
        "SELECT u.email, u.first_name, u.last_name FROM password_resets r JOIN users u ON u.id = r.user_id
         WHERE r.token_hash = $1 AND r.expires_at > $2",
        &hash(token),
        now
    )
    .fetch_optional(connection)
    .await?
    .or_refuse(InvalidReset)
}

/// Uses a token: sets the password and ends all sessions of the account. Of several transactions that use it at once, one
/// succeeds. For a while, whoever has the token can sign in like a known device, however often others guess. Returns the key
/// of the account's address.
pub async fn redeem(tx: &mut Tx, token: &str, password_hash: &str) -> Result<String, Rejected<InvalidReset>> {
    let now = tx.now();
    let user = sqlx::query!(
        r#"WITH used AS (
               DELETE FROM password_resets WHERE token_hash = $1 AND expires_at > $2 RETURNING user_id
           )
           UPDATE users u SET password_hash = $3 FROM used
           WHERE u.id = used.user_id AND u.deleted_at IS NULL
           RETURNING u.id, u.email_key, u.first_name || coalesce(' ' || u.last_name, '') AS "name!""#,
        &hash(token),
        now,
        password_hash
    )
    .fetch_optional(&mut **tx)
    .await?
    .or_refuse(InvalidReset)?;
    sessions::revoke_all(tx, user.id, None, Revocation::PasswordChanged).await?;
    devices::remember_reset(tx, user.id, token).await?;
    let target = Target::new(Noun::User, user.id, &user.name);
    tx.record(Action::new(Noun::Password, Verb::Reset).target(Some(target)).by(user.id))?;
    Ok(user.email_key)
}

/// Forgets the link of a user, whose password has changed otherwise.
pub(super) async fn forget(connection: &mut PgConnection, user_id: Uuid) -> Result<()> {
    sqlx::query!("DELETE FROM password_resets WHERE user_id = $1", user_id).execute(connection).await?;
    Ok(())
}
