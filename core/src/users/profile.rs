//! What users change of their own account.

use serde_json::json;
use sqlx::PgConnection;

use super::accounts::User;
use super::directory::Account;
use super::password_rules::Person;
use super::resets;
use super::sessions::{self, Revocation};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::actor::Caller;
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{OrRefuse, Rejected};
use crate::resource::{self, Edit, Refusal, Resource};

/// Changes the caller's own account, whatever its version: there is one editor. `None` if it was deleted in the meantime.
pub async fn edit(tx: &mut UserTx, edit: Edit<Account>) -> Result<Option<User>, Rejected<Refusal>> {
    let user_id = tx.caller().user_id;
    let current = Account::lock(tx, user_id).await?.filter(|account| account.deleted_at.is_none());
    let Some(current) = current else { return Ok(None) };
    let account = resource::edit(tx, user_id, current.version, edit).await?;
    Ok(Some(User {
        id: account.id,
        email: account.email,
        is_email_verified: account.is_email_verified,
        first_name: account.first_name,
        last_name: account.last_name,
        avatar_url: account.avatar_url,
        role: account.role,
        progress_percent: account.progress.percent,
        created_at: account.created_at,
    }))
}

/// What a password of the caller is checked against.
#[derive(Clone, Debug)]
pub struct OwnCredentials {
    /// Whose password it is.
    pub person: Person,
    /// The stored hash; `None` if the account has no password.
    pub password_hash: Option<String>,
}

/// The caller's own credentials; `None` if the account is gone.
pub async fn credentials(connection: &mut PgConnection, caller: &Caller) -> Result<Option<OwnCredentials>> {
    let row = sqlx::query!(
        "SELECT email, first_name, last_name, password_hash FROM users WHERE id = $1 AND deleted_at IS NULL",
        caller.user_id
    );
    Ok(row.fetch_optional(connection).await?.map(|row| OwnCredentials {
        person: Person { email: row.email, first_name: row.first_name, last_name: row.last_name },
        password_hash: row.password_hash,
    }))
}

/// The password was changed after it had been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordChanged;

/// Replaces the caller's password, whose hash `checked` was verified, and ends their other sessions.
pub async fn change_password(
    tx: &mut UserTx,
    checked: Option<&str>,
    new_hash: &str,
) -> Result<(), Rejected<PasswordChanged>> {
    let caller = tx.caller().clone();
    let user = sqlx::query!(
        r#"UPDATE users SET password_hash = $3
           WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND deleted_at IS NULL
           RETURNING first_name || coalesce(' ' || last_name, '') AS "name!""#,
        caller.user_id,
        checked,
        new_hash
    );
    let user = user.fetch_optional(&mut ***tx).await?.or_refuse(PasswordChanged)?;
    resets::forget(tx, caller.user_id).await?;
    let ended = sessions::revoke_all(tx, caller.user_id, Some(caller.session_id), Revocation::PasswordChanged).await?;
    let target = Target::new(Noun::User, caller.user_id, &user.name);
    let details = json!({ "sessions_ended": ended.len() });
    tx.record(Action::new(Noun::Password, Verb::Updated).target(Some(target)).with(details))?;
    Ok(())
}
