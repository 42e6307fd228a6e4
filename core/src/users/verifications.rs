//! One-time links with which users prove that their email address is theirs. They are sent by mail ([`super::mail`]).
//!
//! The token consists of 256 random bits, of which only the SHA-256 is stored. Using it deletes it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::sessions::hash;
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{OrRefuse, Rejected};

/// How long a link can be used.
const VERIFICATION_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// The token is unknown, was used or replaced, has expired, or belongs to another address than the account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidVerification;

/// Creates a link for an address of a user, in place of an earlier one. Returns its token, and when it stops being valid.
pub(super) async fn create(tx: &mut Tx, user_id: Uuid, email: &str) -> Result<(String, DateTime<Utc>)> {
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let (now, expires_at) = (tx.now(), tx.now() + VERIFICATION_LIFETIME);
    sqlx::query!(
        "INSERT INTO email_verifications (user_id, email, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id) DO UPDATE SET email = excluded.email, token_hash = excluded.token_hash,
             created_at = excluded.created_at, expires_at = excluded.expires_at, delivered_at = NULL",
        user_id,
        email,
        &hash(&token),
        now,
        expires_at
    )
    .execute(&mut **tx)
    .await?;
    Ok((token, expires_at))
}

/// Uses a token: the address of its user is verified. Of several transactions that use it at once, one succeeds.
pub async fn redeem(tx: &mut Tx, token: &str) -> Result<(), Rejected<InvalidVerification>> {
    let user = sqlx::query!(
        r#"WITH used AS (
               DELETE FROM email_verifications WHERE token_hash = $1 AND expires_at > $2 RETURNING user_id, email
           )
           UPDATE users u SET email_verified_at = $2 FROM used
           WHERE u.id = used.user_id AND u.email = used.email AND u.deleted_at IS NULL
           RETURNING u.id, u.first_name || coalesce(' ' || u.last_name, '') AS "name!""#,
        &hash(token),
        tx.now()
    )
    .fetch_optional(&mut **tx)
    .await?
    .or_refuse(InvalidVerification)?;
    let target = Target::new(Noun::User, user.id, &user.name);
    tx.record(Action::new(Noun::Email, Verb::Verified).target(Some(target)).by(user.id))?;
    Ok(())
}
