//! Invites: codes with which people can register and get a certain role.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Verb};
use crate::actor::Role;
use crate::clock::new_id;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::Rejected;

/// The data of a new invite.
#[derive(Clone, Debug)]
pub struct NewInvite {
    /// The role of accounts that are registered with it.
    pub role: Role,
    /// How many accounts may be registered with it, 1–100,000.
    pub max_uses: i32,
    /// When it stops being valid; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// A note for admins, at most 200 characters.
    pub note: Option<String>,
}

/// An invite that was just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Identifies the invite.
    pub id: Uuid,
    /// The secret that people register with.
    pub code: String,
}

/// An invite that was used for a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// Identifies the invite.
    pub id: Uuid,
    /// The role of the new account.
    pub role: Role,
}

/// Why an invite cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteRefusal {
    /// No invite has this code.
    Unknown,
    /// An admin revoked it.
    Revoked,
    /// Its expiry time has passed.
    Expired,
    /// It was used as often as allowed.
    UsedUp,
}

/// Creates an invite with a code of 128 random bits.
pub async fn create(tx: &mut Tx, new: &NewInvite) -> Result<Invite> {
    let invite = Invite { id: new_id(), code: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()) };
    sqlx::query!(
        "INSERT INTO invite_links (id, code, role, note, max_uses, expires_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        invite.id,
        invite.code,
        new.role as Role,
        new.note,
        new.max_uses,
        new.expires_at,
        tx.actor().user_id
    )
    .execute(&mut **tx)
    .await?;
    let title = new.note.as_deref().unwrap_or("invite");
    let details = serde_json::json!({"role": new.role, "max_uses": new.max_uses, "expires_at": new.expires_at});
    tx.record(Action::new(Noun::Invite, Verb::Created).on(invite.id, title).with(details))?;
    Ok(invite)
}

/// Creates the demo's invite with this code and a thousand uses, or adds a thousand uses to it if it exists.
pub async fn renew(connection: &mut PgConnection, code: &str) -> Result<()> {
    sqlx::query!(
        "INSERT INTO invite_links (id, code, note, max_uses) VALUES ($1, $2, 'Demo', 1000)
         ON CONFLICT (code) DO UPDATE SET max_uses = least(100000, invite_links.uses + 1000)",
        new_id(),
        code
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Uses an invite once. Its row stays locked until the end of the transaction, so of several simultaneous registrations only
/// one gets the last use, and the others are refused.
pub(super) async fn redeem(
    connection: &mut PgConnection,
    code: &str,
    now: DateTime<Utc>,
) -> Result<Redeemed, Rejected<InviteRefusal>> {
    let redeemed = sqlx::query_as!(
        Redeemed,
        r#"UPDATE invite_links SET uses = uses + 1
           WHERE code = $1 AND deleted_at IS NULL AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > $2) AND uses < max_uses
           RETURNING id, role AS "role: Role""#,
        code,
        now
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(redeemed) = redeemed {
        return Ok(redeemed);
    }
    check(connection, code, now).await?;
    Err(Rejected::Refused(InviteRefusal::UsedUp)) // became free again between the two statements
}

/// Refuses if the invite with that code cannot be used at the moment.
pub(super) async fn check(
    connection: &mut PgConnection,
    code: &str,
    now: DateTime<Utc>,
) -> Result<(), Rejected<InviteRefusal>> {
    let invite = sqlx::query!(
        r#"SELECT revoked_at IS NOT NULL AS "revoked!", coalesce(expires_at <= $2, false) AS "expired!",
                  uses >= max_uses AS "used_up!"
           FROM invite_links WHERE code = $1 AND deleted_at IS NULL"#,
        code,
        now
    )
    .fetch_optional(connection)
    .await?;
    match invite {
        None => Err(Rejected::Refused(InviteRefusal::Unknown)),
        Some(invite) if invite.revoked => Err(Rejected::Refused(InviteRefusal::Revoked)),
        Some(invite) if invite.expired => Err(Rejected::Refused(InviteRefusal::Expired)),
        Some(invite) if invite.used_up => Err(Rejected::Refused(InviteRefusal::UsedUp)),
        Some(_) => Ok(()),
    }
}
