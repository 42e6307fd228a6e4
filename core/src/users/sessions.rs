//! Sessions: one row for each sign-in, and the refresh tokens that extend it.
//!
//! A refresh token consists of 256 random bits. Only its SHA-256 is stored, and it can be exchanged once for the next token:
//!
//! ```text
//! open ──► token 1 ──refresh──► token 2 ──refresh──► token 3 …
//!             └── used again after REUSE_GRACE: it was stolen ──► the whole session is revoked
//! ```
//!
//! A token may be exchanged again within [`REUSE_GRACE`] of its first use, because the first answer may have been lost, or two
//! browser tabs may have refreshed at the same time. Each exchange returns its own pair of tokens. They belong to the same
//! session, so they become invalid with it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{Credentials, User};
use super::tokens::TokenSubject;
use crate::Result;
use crate::activity::{Action, Verb};
use crate::actor::{Caller, Role};
use crate::clock::new_id;
use crate::db::{Tx, UserTx};
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// How long a session lasts unless it is refreshed.
pub const SESSION_LIFETIME: TimeDelta = TimeDelta::days(30);
/// How long after its first use a refresh token may be exchanged again.
pub const REUSE_GRACE: TimeDelta = TimeDelta::seconds(10);

/// A session with a new refresh token.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// The user and the session.
    pub subject: TokenSubject,
    /// The refresh token. Not stored, so it cannot be shown again.
    pub refresh_token: String,
    /// When the session ends unless it is refreshed.
    pub expires_at: DateTime<Utc>,
}

/// The result of a refresh.
#[derive(Clone, Debug)]
pub enum Refresh {
    /// The session continues with a new token.
    Renewed(OpenSession),
    /// The token is unknown, or its session or account has ended.
    Invalid,
    /// The token had been used before, so the session was revoked. The caller must commit the transaction.
    Reused,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Revocation {
    Logout,
    PasswordChanged,
    Revoked,
    TokenReuse,
}

/// A session that can be used, as its user sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Identifies the session.
    pub id: Uuid,
    /// Whether it is the caller's.
    pub is_current: bool,
    /// The `User-Agent` header of the sign-in.
    pub user_agent: Option<String>,
    /// The IP address of the sign-in.
    pub ip: Option<String>,
    /// When the user signed in.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends unless it is refreshed.
    pub expires_at: DateTime<Utc>,
}

/// At most `limit` sessions of the caller that have not ended, newest first, starting after the `created_at` and id of `after`.
pub async fn list(
    connection: &mut PgConnection,
    caller: &Caller,
    now: DateTime<Utc>,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Session>> {
    let (time, id) = after.unzip();
    let sessions = sqlx::query_as!(
        Session,
        r#"SELECT id, id = $2 AS "is_current!", user_agent, host(ip) AS ip, created_at, last_used_at, expires_at
           FROM sessions
           WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $3
             AND (created_at, id) < (coalesce($4, 'infinity'::timestamptz),
                                     coalesce($5, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY created_at DESC, id DESC LIMIT $6"#,
        caller.user_id,
        caller.session_id,
        now,
        time,
        id,
        limit
    );
    Ok(sessions.fetch_all(connection).await?)
}

/// Ends one session of the caller. Refused if it is not theirs or has ended.
pub async fn end(tx: &mut UserTx, session_id: Uuid) -> Result<(), Rejected<NotFound>> {
    let now = tx.now();
    let ended = sqlx::query!(
        "UPDATE sessions SET revoked_at = $3, revoke_reason = 'revoked'
         WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3",
        session_id,
        tx.caller().user_id,
        now
    );
    let ended = ended.execute(&mut ***tx).await?.rows_affected();
    (ended == 1).then_some(()).or_not_found(Noun::Session)?;
    let user_id = tx.caller().user_id;
    announce_end(tx, user_id, session_id, Revocation::Revoked);
    record_end(tx, &[session_id])?;
    Ok(())
}

/// Ends all sessions of the caller except the one that calls. Returns how many there were.
pub async fn end_others(tx: &mut UserTx) -> Result<usize> {
    let caller = tx.caller().clone();
    let ended = revoke_all(tx, caller.user_id, Some(caller.session_id), Revocation::Revoked).await?;
    if !ended.is_empty() {
        record_end(tx, &ended)?;
    }
    Ok(ended.len())
}

fn record_end(tx: &mut Tx, session_ids: &[Uuid]) -> Result<()> {
    let details = serde_json::json!({ "session_ids": session_ids });
    tx.record(Action::new(Noun::Session, Verb::Revoked).with(details))
}

/// Ends all sessions of a user, except `kept`. Returns those that had not ended before.
pub(super) async fn revoke_all(
    tx: &mut Tx,
    user_id: Uuid,
    kept: Option<Uuid>,
    reason: Revocation,
) -> Result<Vec<Uuid>> {
    let now = tx.now();
    let ended = sqlx::query_scalar!(
        "UPDATE sessions SET revoked_at = $3, revoke_reason = $4
         WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL AND expires_at > $3
         RETURNING id",
        user_id,
        kept,
        now,
        <&str>::from(reason)
    );
    let ended = ended.fetch_all(&mut **tx).await?;
    for session_id in &ended {
        announce_end(tx, user_id, *session_id, reason);
    }
    Ok(ended)
}

/// Tells the user's devices that a session has ended.
fn announce_end(tx: &mut Tx, user_id: Uuid, session_id: Uuid, reason: Revocation) {
    tx.emit(user_id, UserEvent::SessionEnded { session_id, reason: <&str>::from(reason).to_owned() });
}

/// The current role of a token's user; `None` if the session has ended or the user is not active.
///
/// Every request runs this query on two primary keys, so that suspension, a changed role and signing out take effect
/// immediately.
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

/// Opens a session for a user who has just registered.
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

/// Opens a session for a user whose password was verified. `None` if the password has been changed since, or the account
/// suspended or deleted.
///
/// Those changes end all sessions. The lock makes them wait for this one, so that it is among them.
pub async fn sign_in(tx: &mut Tx, verified: &Credentials) -> Result<Option<OpenSession>> {
    let user = &verified.user;
    let is_unchanged = sqlx::query!(
        "SELECT FROM users
         WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND status = 'active' AND deleted_at IS NULL
         FOR SHARE",
        user.id,
        verified.password_hash
    );
    if is_unchanged.fetch_optional(&mut **tx).await?.is_none() {
        return Ok(None);
    }
    let session = open(tx, user).await?;
    let details = serde_json::json!({"session_id": session.subject.session_id});
    tx.record(Action::new(Noun::User, Verb::SignedIn).on(user.id, &user.name()).by(user.id).with(details))?;
    Ok(Some(session))
}

/// Exchanges a refresh token for the next one.
pub async fn refresh(tx: &mut Tx, token: &str) -> Result<Refresh> {
    let now = tx.now();
    let hash = hash(token);
    // Both rows are locked, so that the second of two simultaneous exchanges sees the result of the first.
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
    if found.used_at.is_some_and(|used_at| now - used_at > REUSE_GRACE) {
        let subject = TokenSubject { user_id: found.user_id, session_id: found.session_id };
        revoke(tx, subject, Revocation::TokenReuse).await?;
        tracing::warn!(session.id = %found.session_id, user.id = %found.user_id,
            "a refresh token was used twice; its session has been revoked");
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
    let subject = TokenSubject { user_id: tx.caller().user_id, session_id: tx.caller().session_id };
    if revoke(tx, subject, Revocation::Logout).await? {
        let details = serde_json::json!({"session_id": subject.session_id});
        tx.record(Action::new(Noun::User, Verb::SignedOut).with(details))?;
    }
    Ok(())
}

/// Ends a session, and tells the user's other devices. Returns false if it had already ended.
async fn revoke(tx: &mut Tx, subject: TokenSubject, reason: Revocation) -> Result<bool> {
    let (session_id, now) = (subject.session_id, tx.now());
    let revoked = sqlx::query!(
        "UPDATE sessions SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL",
        session_id,
        now,
        <&str>::from(reason)
    )
    .execute(&mut **tx)
    .await?;
    let is_revoked = revoked.rows_affected() == 1;
    if is_revoked {
        announce_end(tx, subject.user_id, session_id, reason);
    }
    Ok(is_revoked)
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

/// What is stored of a token.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
