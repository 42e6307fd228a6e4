//! Mails to users. Cairn sends none itself: a hook of the operator does ([`crate::config::MailConfig`]).
//!
//! The token of a link is created by the job that sends it, after everything else has been checked, so it is stored nowhere but
//! as its hash: neither in the job nor with the request. An attempt that is repeated sends another token, which replaces the one
//! before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use sqlx::PgConnection;
use uuid::Uuid;

use super::jobs::{MailKind, SendMail};
use super::rules::Email;
use super::{resets, verifications};
use crate::config::Secret;
use crate::db::Tx;
use crate::refusal::Rejected;
use crate::{Error, Result};

/// A user gets no second mail of a kind within this time.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

/// A mail, as the hook gets it.
#[derive(Clone, Serialize)]
pub struct Mail {
    /// What it is about.
    pub kind: MailKind,
    /// The address.
    pub to: String,
    /// First and last name.
    pub name: String,
    /// The token of the link.
    pub token: String,
    /// When the link stops being valid.
    pub expires_at: DateTime<Utc>,
}

/// Asks for a mail with a link for a new password. Does the same whether or not there is an account with this address, so that
/// nobody learns it from the time that it takes.
pub async fn request_password_reset(tx: &mut Tx, email: &Email) -> Result<()> {
    let user_id = sqlx::query_scalar!("SELECT id FROM users WHERE email_key = $1 AND deleted_at IS NULL", email.key());
    let user_id = user_id.fetch_optional(&mut **tx).await?;
    tx.enqueue(&SendMail { kind: MailKind::PasswordReset, user_id })
}

/// Asks for a mail with which a user verifies their address.
pub fn request_verification(tx: &mut Tx, user_id: Uuid) -> Result<()> {
    tx.enqueue(&SendMail { kind: MailKind::EmailVerification, user_id: Some(user_id) })
}

/// Creates the link of a mail. `None` if there is nothing to send: the account is gone or suspended, its address is verified
/// already, or it got such a mail a moment ago.
pub async fn prepare(tx: &mut Tx, kind: MailKind, user_id: Uuid) -> Result<Option<Mail>> {
    let user = sqlx::query!(
        r#"SELECT u.email, u.first_name || coalesce(' ' || u.last_name, '') AS "name!",
                  u.email_verified_at IS NOT NULL AS "is_verified!",
                  v.delivered_at AS "verification_delivered_at?", r.delivered_at AS "reset_delivered_at?"
           FROM users u
           LEFT JOIN email_verifications v ON v.user_id = u.id LEFT JOIN password_resets r ON r.user_id = u.id
           WHERE u.id = $1 AND u.status = 'active' AND u.deleted_at IS NULL
           FOR NO KEY UPDATE OF u"#,
        user_id
    );
    let Some(user) = user.fetch_optional(&mut **tx).await? else { return Ok(None) };
    let delivered_at = match kind {
        MailKind::EmailVerification if user.is_verified => return Ok(None),
        MailKind::EmailVerification => user.verification_delivered_at,
        MailKind::PasswordReset => user.reset_delivered_at,
    };
    // A time that is not yet was stored before a clock was set back.
    if delivered_at.is_some_and(|time| (time..time + PAUSE).contains(&tx.now())) {
        return Ok(None);
    }
    let (token, expires_at) = match kind {
        MailKind::EmailVerification => verifications::create(tx, user_id, &user.email).await?,
        MailKind::PasswordReset => match resets::create(tx, user_id).await {
            Ok(reset) => (reset.token, reset.expires_at),
            Err(Rejected::Refused(_)) => return Ok(None),
            Err(Rejected::Failed(error)) => return Err(error),
        },
    };
    Ok(Some(Mail { kind, to: user.email, name: user.name, token, expires_at }))
}

/// Records that the hook took a mail.
pub async fn record_delivery(
    connection: &mut PgConnection,
    kind: MailKind,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    match kind {
        MailKind::EmailVerification => {
            sqlx::query!("UPDATE email_verifications SET delivered_at = $2 WHERE user_id = $1", user_id, now)
                .execute(connection)
                .await?
        }
        MailKind::PasswordReset => {
            sqlx::query!("UPDATE password_resets SET delivered_at = $2 WHERE user_id = $1", user_id, now)
                .execute(connection)
                .await?
        }
    };
    Ok(())
}

/// The signature of a request to the hook, as <https://www.standardwebhooks.com> describes it: HMAC-SHA-256 of the id, the time and the
/// body, joined by dots.
pub fn sign(key: &Secret, content: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .map_err(|error| Error::message(format!("could not sign a mail: {error}")))?;
    mac.update(content.as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}
