//! Sessions: one row per sign-in, and the refresh tokens that keep it going.
//!
//! A refresh token is 256 random bits, of which only the SHA-256 is stored, and is exchanged once for the next:
//!
//! ```text
//! open ──► token 1 ──refresh──► token 2 ──refresh──► token 3 …
//!             └── used again after GRACE: somebody else has it ──► the whole session is revoked
//! ```
//!
//! Within [`GRACE`] of its use a token may be exchanged again, because the answer to the first exchange may have been
//! lost on the way, and because two tabs of a browser may refresh at the same moment. Each gets a pair of its own; both
//! belong to the same session, so both end with it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::User;
use super::tokens::TokenSubject;
use crate::Result;
use crate::activity::{Action, Noun, Verb};
use crate::actor::Role;
use crate::clock::new_id;
use crate::db::{Tx, UserTx};

/// A session that is not refreshed for this long ends.
pub const SESSION_LIFETIME: TimeDelta = TimeDelta::days(30);
/// How long after its use a refresh token may be exchanged again.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// A session, with the token that continues it.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Whose, and which.
    pub subject: TokenSubject,
    /// The refresh token. Shown once; not stored.
    pub refresh_token: String,
    /// When the session ends unless it is refreshed before.
    pub expires_at: DateTime<Utc>,
}

/// How a refresh ends.
#[derive(Clone, Debug)]
pub enum Refresh {
    /// The session goes on with a new token.
    Renewed(OpenSession),
    /// The token is unknown, or its session or account has ended.
    Invalid,
    /// The token was used before: the session is revoked, so commit.
    Reused,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revocation {
    Logout,
    TokenReuse,
}

impl Revocation {
    const fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::TokenReuse => "token_reuse",
        }
    }
}

/// The role of a token's user, read now; none unless the session is live and the user active.
///
/// One query on two primary keys, on every request: so that suspension, a new role and sign-out count at once.
pub async fn authenticate(
    connection: &mut PgConnection,
    subject: TokenSubject,
    now: DateTime<Utc>,
) -> Result<Option<Role>> {
    let role = sqlx::query_scalar!(
        r#"SELECT u.role AS "role: Role"
           FROM sessions s JOIN users u ON u.id = s.user_id
           WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3
             AND u.status = 'active' AND u.deleted_at IS NULL"#,
        subject.session_id,
        subject.user_id,
        now
    )
    .fetch_optional(connection)
    .await?;
    Ok(role)
}

/// Opens a session for somebody who has just registered.
pub async fn open(tx: &mut Tx, user: &User) -> Result<OpenSession> {
    let origin = tx.actor().origin.clone();
    let (now, subject) = (tx.now(), TokenSubject { user_id: user.id, session_id: new_id() });
    let expires_at = now + SESSION_LIFETIME;
    sqlx::query!(
        "INSERT INTO sessions (id, user_id, user_agent, ip, created_at, last_used_at, expires_at)
         VALUES ($1, $2, $3, $4::text::inet, $5, $5, $6)",
        subject.session_id,
        subject.user_id,
        origin.user_agent,
        origin.ip.map(|ip| ip.to_string()),
        now,
        expires_at
    )
    .execute(&mut **tx)
    .await?;
    let refresh_token = add_token(tx, subject.session_id, now).await?;
    Ok(OpenSession { subject, refresh_token, expires_at })
}

/// Opens a session for somebody whose password was right.
pub async fn sign_in(tx: &mut Tx, user: &User) -> Result<OpenSession> {
    let session = open(tx, user).await?;
    let details = serde_json::json!({"session_id": session.subject.session_id});
    tx.record(Action::new(Noun::User, Verb::SignedIn).on(user.id, &user.name()).by(user.id).with(details))?;
    Ok(session)
}

/// Exchanges a refresh token for the next.
pub async fn refresh(tx: &mut Tx, token: &str) -> Result<Refresh> {
    let now = tx.now();
    let hash = hash(token);
    // Both rows are locked, so that of two exchanges at once the second sees what the first did.
    let found = sqlx::query!(
        r#"SELECT t.used_at, s.id AS session_id, s.user_id,
                  s.revoked_at IS NULL AND s.expires_at > $2 AND u.status = 'active' AND u.deleted_at IS NULL
                      AS "is_live!"
           FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
           WHERE t.token_hash = $1
           FOR UPDATE OF t, s"#,
        &hash,
        now
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(found) = found.filter(|found| found.is_live) else { return Ok(Refresh::Invalid) };
    if found.used_at.is_some_and(|used_at| now - used_at > GRACE) {
        revoke(tx, found.session_id, Revocation::TokenReuse, now).await?;
        tracing::warn!(session.id = %found.session_id, user.id = %found.user_id,
            "a refresh token was used twice; its session is revoked");
        return Ok(Refresh::Reused);
    }
    let expires_at = now + SESSION_LIFETIME;
    sqlx::query!("UPDATE refresh_tokens SET used_at = coalesce(used_at, $2) WHERE token_hash = $1", &hash, now)
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1",
        found.session_id,
        now,
        expires_at
    )
    .execute(&mut **tx)
    .await?;
    let subject = TokenSubject { user_id: found.user_id, session_id: found.session_id };
    let refresh_token = add_token(tx, found.session_id, now).await?;
    Ok(Refresh::Renewed(OpenSession { subject, refresh_token, expires_at }))
}

/// Ends the caller's session.
pub async fn sign_out(tx: &mut UserTx) -> Result<()> {
    let (session_id, now) = (tx.caller().session_id, tx.now());
    if revoke(tx, session_id, Revocation::Logout, now).await? {
        let details = serde_json::json!({"session_id": session_id});
        tx.record(Action::new(Noun::User, Verb::SignedOut).with(details))?;
    }
    Ok(())
}

/// Ends a session; false if it had ended before.
async fn revoke(
    connection: &mut PgConnection,
    session_id: Uuid,
    reason: Revocation,
    now: DateTime<Utc>,
) -> Result<bool> {
    let revoked = sqlx::query!(
        "UPDATE sessions SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL",
        session_id,
        now,
        reason.name()
    )
    .execute(connection)
    .await?;
    Ok(revoked.rows_affected() == 1)
}

async fn add_token(connection: &mut PgConnection, session_id: Uuid, now: DateTime<Utc>) -> Result<String> {
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    sqlx::query!(
        "INSERT INTO refresh_tokens (token_hash, session_id, created_at) VALUES ($1, $2, $3)",
        &hash(&token),
        session_id,
        now
    )
    .execute(connection)
    .await?;
    Ok(token)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
