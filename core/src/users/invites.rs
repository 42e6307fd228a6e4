//! Invites: codes that let people register, with the role they get.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Role;
use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::clock::{Clock, new_id};
use crate::db::Tx;

/// What a new invite allows.
#[derive(Clone, Debug)]
pub struct NewInvite {
    /// The role of those who register with it.
    pub role: Role,
    /// How many may, 1–100000.
    pub max_uses: i32,
    /// Until when; none = for ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// What it is for, at most 200 characters.
    pub note: Option<String>,
    /// Who made it; none = the command line.
    pub created_by: Option<Uuid>,
}

/// An invite as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Its id.
    pub id: Uuid,
    /// The secret to register with.
    pub code: String,
}

/// What a redeemed invite gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The invite.
    pub id: Uuid,
    /// The role it gives.
    pub role: Role,
}

/// Why an invite lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteRefusal {
    /// There is none with that code.
    Unknown,
    /// An admin took it back.
    Revoked,
    /// Its time is over.
    Expired,
    /// As many have registered with it as may.
    UsedUp,
}

/// Makes an invite with a code of 128 random bits.
pub async fn create(tx: &mut Tx, clock: &Clock, new: &NewInvite) -> Result<Invite> {
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
        new.created_by
    )
    .execute(&mut **tx)
    .await?;
    let title = new.note.as_deref().unwrap_or("invite");
    Event::of(new.created_by, clock, Action::InviteCreated, Some(Target::new("invite", invite.id, title)))
        .with(serde_json::json!({"role": new.role, "max_uses": new.max_uses, "expires_at": new.expires_at}))
        .record(tx)?;
    Ok(invite)
}

/// Uses an invite once. The row lock lasts until the end of the transaction: of those who come at once for the last
/// use, the first to commit gets it and the others are refused.
pub(super) async fn redeem(
    connection: &mut PgConnection,
    code: &str,
    now: DateTime<Utc>,
) -> Result<Result<Redeemed, InviteRefusal>> {
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
    match redeemed {
        Some(redeemed) => Ok(Ok(redeemed)),
        None => Ok(Err(refusal(connection, code, now).await?.unwrap_or(InviteRefusal::UsedUp))),
    }
}

/// Why the invite with that code lets nobody in at the moment; none if it does.
pub async fn refusal(connection: &mut PgConnection, code: &str, now: DateTime<Utc>) -> Result<Option<InviteRefusal>> {
    let invite = sqlx::query!(
        r#"SELECT revoked_at IS NOT NULL AS "revoked!", coalesce(expires_at <= $2, false) AS "expired!",
                  uses >= max_uses AS "used_up!"
           FROM invite_links WHERE code = $1 AND deleted_at IS NULL"#,
        code,
        now
    )
    .fetch_optional(connection)
    .await?;
    Ok(match invite {
        None => Some(InviteRefusal::Unknown),
        Some(invite) if invite.revoked => Some(InviteRefusal::Revoked),
        Some(invite) if invite.expired => Some(InviteRefusal::Expired),
        Some(invite) if invite.used_up => Some(InviteRefusal::UsedUp),
        Some(_) => None,
    })
}
