//! Invites: codes that let people register, with the role they get.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Noun, Verb};
use crate::actor::Role;
use crate::clock::new_id;
use crate::db::Tx;
use crate::refusal::Rejected;

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

/// Makes the invite of that code for a thousand learners, or gives it a thousand uses again: the invite of the demo.
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

/// Uses an invite once. The row lock lasts until the end of the transaction: of those who come at once for the last
/// use, the first to commit gets it and the others are refused.
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
    match redeemed {
        Some(redeemed) => Ok(redeemed),
        None => {
            check(connection, code, now).await?;
            Err(Rejected::Refused(InviteRefusal::UsedUp)) // between the two statements
        }
    }
}

/// Refuses if the invite with that code lets nobody in at the moment.
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
