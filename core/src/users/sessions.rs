//! Sessions: one row for each sign-in, and the refresh tokens that extend it.
//!
//! A refresh token consists of 256 bits that nobody can guess, of which only the SHA-256 is stored. The tokens of a session form
//! one line, because each has at most one successor:
//!
//! ```text
//! token 1 ──refresh──► token 2 ──refresh──► token 3 …
//!    │                    ├── not used yet: token 1 is answered with token 2 again, and nothing changes
//!    │                    └── used: whoever presents token 1 has kept a copy ──► the whole session is revoked
//! ```
//!
//! So two browser tabs that refresh at the same time, and a client whose answer was lost, get the same successor. It need not be
//! stored for that: it is derived from its predecessor, which the client presents, and a random nonce in the row.
//!
//! A session ends when it was not refreshed for some time, and after some time in any case ([`Settings::session_idle_days`],
//! [`Settings::session_max_days`]). The trigger `end_sessions` ends those of users who are suspended, deleted or given
//! another role.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::tokens::TokenSubject;
use super::user::{Credentials, User};
use crate::activity::{Action, Target, Verb};
use crate::actor::{Caller, Role};
use crate::clock::new_id;
use crate::db::{Tx, UserTx};
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::settings::Settings;
use crate::{Error, Result};

/// How many used tokens of a session are kept. A token before them is refused as unknown, and does not end the session.
const KEPT_TOKENS: i64 = 10;

/// A session with a new refresh token.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// The user and the session.
    pub subject: TokenSubject,
    /// The refresh token. Only its hash is stored.
    pub refresh_token: String,
    /// When the session ends unless it is refreshed.
    pub expires_at: DateTime<Utc>,
}

/// The result of a refresh.
#[derive(Clone, Debug)]
pub enum Refresh {
    /// The session continues with the successor of the token.
    Renewed(OpenSession),
    /// The token is unknown, or its session or account has ended.
    Invalid,
    /// The successor of the token had been used, so the session was revoked. The caller must commit the transaction.
    Reused,
}

/// Why a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Revocation {
    Logout,
    PasswordChanged,
    Revoked,
    SessionLimit,
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

/// Ends all sessions of the caller, the one that calls only if `include_current`. Returns how many there were.
pub async fn end_all(tx: &mut UserTx, include_current: bool) -> Result<usize> {
    let caller = tx.caller().clone();
    let kept = (!include_current).then_some(caller.session_id);
    let ended = revoke_all(tx, caller.user_id, kept, Revocation::Revoked).await?;
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

/// What the user of a token may do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Their role.
    pub role: Role,
    /// Whether they have to verify their email address before anything else.
    pub must_verify_email: bool,
}

/// What a token's user may do; `None` if the session has ended or the user is not active.
///
/// Every request runs this query on primary keys, so that suspension, a changed role and signing out take effect immediately.
/// Admins need not verify their address: whoever demands it from all others must be able to stop demanding it.
pub async fn authenticate(
    connection: &mut PgConnection,
    subject: TokenSubject,
    now: DateTime<Utc>,
) -> Result<Option<Access>> {
    let access = sqlx::query_as!(
        Access,
        r#"SELECT u.role AS "role: Role",
               u.email_verified_at IS NULL AND u.role <> 'admin' AND EXISTS (
                   SELECT FROM platform_settings WHERE key = 'users.email_verification' AND value = '"required"'
               ) AS "must_verify_email!"
           FROM sessions s JOIN users u ON u.id = s.user_id
           WHERE s.id = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3
             AND u.status = 'active' AND u.deleted_at IS NULL"#,
        subject.session_id,
        subject.user_id,
        now
    );
    Ok(access.fetch_optional(connection).await?)
}

/// Opens a session for a user who has just registered.
pub async fn open(tx: &mut Tx, user: &User, settings: &Settings) -> Result<OpenSession> {
    let origin = tx.actor().origin.clone();
    let (now, subject) = (tx.now(), TokenSubject { user_id: user.id, session_id: new_id() });
    let expires_at = expiry(now, now, settings);
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
    let refresh_token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    sqlx::query!(
        "INSERT INTO refresh_tokens (token_hash, session_id, created_at) VALUES ($1, $2, $3)",
        &hash(&refresh_token),
        subject.session_id,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(OpenSession { subject, refresh_token, expires_at })
}

/// When a session ends that began at `created_at` and is used now.
fn expiry(created_at: DateTime<Utc>, now: DateTime<Utc>, settings: &Settings) -> DateTime<Utc> {
    let idle = now + TimeDelta::days(settings.session_idle_days);
    idle.min(created_at + TimeDelta::days(settings.session_max_days))
}

/// Opens a session for a user whose password was verified. `None` if the password has been changed since, or the account
/// suspended or deleted.
///
/// Those changes end all sessions. The lock makes them wait for this one, so that it is among them. It also orders the sign-ins
/// of a user, so that there are never more sessions than allowed. `rehashed` is the hash of the same password with the current
/// parameters, if it was stored with others.
pub async fn sign_in(
    tx: &mut Tx,
    verified: &Credentials,
    rehashed: Option<&str>,
    settings: &Settings,
) -> Result<Option<OpenSession>> {
    let user = &verified.user;
    let is_unchanged = sqlx::query!(
        "SELECT FROM users
         WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $2 AND status = 'active' AND deleted_at IS NULL
         FOR NO KEY UPDATE",
        user.id,
        verified.password_hash
    );
    if is_unchanged.fetch_optional(&mut **tx).await?.is_none() {
        return Ok(None);
    }
    if let Some(hash) = rehashed {
        sqlx::query!("UPDATE users SET password_hash = $2 WHERE id = $1", user.id, hash).execute(&mut **tx).await?;
    }
    end_idlest(tx, user.id, settings.max_open_sessions).await?;
    let session = open(tx, user, settings).await?;
    let details = serde_json::json!({"session_id": session.subject.session_id});
    tx.record(Action::new(Noun::User, Verb::SignedIn).on(user.id, &user.name()).by(user.id).with(details))?;
    Ok(Some(session))
}

/// Makes room for one more session among the `limit` open ones of a user: ends those that have been idle for longest.
async fn end_idlest(tx: &mut Tx, user_id: Uuid, limit: i64) -> Result<()> {
    let reason = Revocation::SessionLimit;
    let ended = sqlx::query_scalar!(
        "UPDATE sessions SET revoked_at = $2, revoke_reason = $3 WHERE id IN (
             SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
             ORDER BY last_used_at DESC, id DESC OFFSET $4)
         RETURNING id",
        user_id,
        tx.now(),
        <&str>::from(reason),
        limit - 1
    );
    for session_id in ended.fetch_all(&mut **tx).await? {
        announce_end(tx, user_id, session_id, reason);
    }
    Ok(())
}

/// What is stored of a refresh token that is presented.
struct Presented {
    is_used: bool,
    subject: TokenSubject,
    user_name: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Exchanges a refresh token for its successor, which is the same each time until it is used itself.
pub async fn refresh(tx: &mut Tx, token: &str, settings: &Settings) -> Result<Refresh> {
    let hash = hash(token);
    let Some(presented) = lock_token(tx, &hash).await? else { return Ok(Refresh::Invalid) };
    let expires_at = expiry(presented.created_at, tx.now(), settings);
    if expires_at <= tx.now() {
        return Ok(Refresh::Invalid);
    }
    // A statement of its own, which sees what the transaction that held the locks before has committed.
    let successor = sqlx::query!(
        r#"SELECT nonce AS "nonce!", used_at IS NOT NULL AS "is_used!" FROM refresh_tokens WHERE predecessor = $1"#,
        &hash
    );
    let (refresh_token, expires_at) = match successor.fetch_optional(&mut **tx).await? {
        Some(successor) if !successor.is_used => (derive(token, &successor.nonce)?, presented.expires_at),
        None if !presented.is_used => (renew(tx, token, &presented, expires_at).await?, expires_at),
        _ => {
            end_reused(tx, &presented).await?;
            return Ok(Refresh::Reused);
        }
    };
    Ok(Refresh::Renewed(OpenSession { subject: presented.subject, refresh_token, expires_at }))
}

/// The token with this hash, locked together with its session, so that all exchanges within a session come one after another;
/// `None` if the token is unknown, or its session or account has ended. The session is locked first, as when it is deleted.
async fn lock_token(tx: &mut Tx, hash: &[u8; 32]) -> Result<Option<Presented>> {
    let now = tx.now();
    let found = sqlx::query!(
        r#"SELECT t.used_at IS NOT NULL AS "is_used!", s.id AS session_id, s.user_id, s.created_at, s.expires_at,
                  u.first_name || coalesce(' ' || u.last_name, '') AS "user_name!",
                  s.revoked_at IS NULL AND s.expires_at > $2 AND u.status = 'active' AND u.deleted_at IS NULL
                      AS "is_live!"
           FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
           WHERE t.token_hash = $1
           FOR UPDATE OF s, t"#,
        hash,
        now
    );
    let found = found.fetch_optional(&mut **tx).await?.filter(|found| found.is_live);
    Ok(found.map(|found| Presented {
        is_used: found.is_used,
        subject: TokenSubject { user_id: found.user_id, session_id: found.session_id },
        user_name: found.user_name,
        created_at: found.created_at,
        expires_at: found.expires_at,
    }))
}

/// Stores the successor of a token, and extends the session until `expires_at`. Returns the successor.
async fn renew(tx: &mut Tx, token: &str, presented: &Presented, expires_at: DateTime<Utc>) -> Result<String> {
    let nonce: [u8; 32] = rand::random();
    let successor = derive(token, &nonce)?;
    sqlx::query!(
        "WITH used AS (
             UPDATE refresh_tokens SET used_at = $4 WHERE token_hash = $5
         ), extended AS (
             UPDATE sessions SET last_used_at = $4, expires_at = $6 WHERE id = $2
         ), pruned AS (
             DELETE FROM refresh_tokens WHERE session_id = $2 AND used_at < (
                 SELECT used_at FROM refresh_tokens WHERE session_id = $2 AND used_at IS NOT NULL
                 ORDER BY used_at DESC OFFSET $7 LIMIT 1)
         )
         INSERT INTO refresh_tokens (token_hash, session_id, nonce, created_at, predecessor) VALUES ($1, $2, $3, $4, $5)",
        &hash(&successor),
        presented.subject.session_id,
        &nonce,
        tx.now(),
        &hash(token),
        expires_at,
        KEPT_TOKENS - 2
    )
    .execute(&mut **tx)
    .await?;
    Ok(successor)
}

/// Ends the session of a token whose successor was used: two parties have had the token, and one of them stole it.
async fn end_reused(tx: &mut Tx, presented: &Presented) -> Result<()> {
    let TokenSubject { user_id, session_id } = presented.subject;
    revoke(tx, presented.subject, Revocation::TokenReuse).await?;
    tracing::warn!(session.id = %session_id, user.id = %user_id,
        "a refresh token was used again after its successor; its session has been revoked");
    let target = Target::new(Noun::User, user_id, &presented.user_name);
    let details = serde_json::json!({ "session_id": session_id });
    tx.record(Action::new(Noun::RefreshToken, Verb::Reused).target(Some(target)).by(user_id).with(details))
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

/// The successor of a token. Whoever knows only one of the two arguments learns nothing about it.
fn derive(token: &str, nonce: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes())
        .map_err(|error| Error::message(format!("could not derive a refresh token: {error}")))?;
    mac.update(nonce);
    Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// What is stored of a token.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
