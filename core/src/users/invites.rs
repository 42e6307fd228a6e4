//! Invites: codes with which people can register and get a certain role.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::Verb;
use crate::actor::Role;
use crate::clock::new_id;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Edit, Refusal, Resource};

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

/// Whether an invite can be used. Derived from its row and the time whenever it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum InviteState {
    /// It can.
    Active,
    /// It was used as often as allowed, whatever happened to it since.
    UsedUp,
    /// Its expiry time has passed.
    Expired,
    /// An admin revoked it.
    Revoked,
}

impl InviteState {
    /// The name in SQL.
    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::UsedUp => "used_up",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// An invite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Invite {
    /// Identifies the invite.
    pub id: Uuid,
    /// The secret that people register with. Never recorded.
    #[serde(skip)]
    pub code: String,
    /// The role of accounts that are registered with it.
    pub role: Role,
    /// A note for admins, at most 200 characters.
    pub note: Option<String>,
    /// How many accounts may be registered with it, 1–100,000.
    pub max_uses: i32,
    /// How many were.
    #[serde(skip)]
    pub uses: i32,
    /// When it stops being valid; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When an admin revoked it.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Who created it; `None` for the command line.
    #[serde(skip)]
    pub created_by: Option<Uuid>,
    /// Whether it can be used, when it was read.
    #[serde(skip)]
    pub state: InviteState,
    /// Raised by every change, but not by uses.
    pub version: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Always `None`: invites are revoked, not deleted.
    #[serde(skip)]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Invite {
    /// An invite that is not stored yet, with a code of 128 random bits.
    pub fn new(new: NewInvite, created_by: Option<Uuid>) -> Self {
        Self {
            id: new_id(),
            code: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
            role: new.role,
            note: new.note,
            max_uses: new.max_uses,
            uses: 0,
            expires_at: new.expires_at,
            revoked_at: None,
            created_by,
            state: InviteState::Active,
            version: 0,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            deleted_at: None,
        }
    }
}

/// Selects invites, with their state at the time `$1` (null for the database's), from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_invites {
    ($with:literal, $from:literal, $now:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Invite,
            $with
                + r#" SELECT id AS "id!", code AS "code!", role AS "role!: Role", note, max_uses AS "max_uses!",
                       uses AS "uses!", expires_at, revoked_at, created_by, version AS "version!",
                       created_at AS "created_at!", updated_at AS "updated_at!", deleted_at,
                       invite_state(uses, max_uses, revoked_at, expires_at, coalesce($1, now())) AS "state!: InviteState"
                   FROM "#
                + $from,
            $now
            $(, $argument)*
        )
    };
}

impl Resource for Invite {
    const NOUN: Noun = Noun::Invite;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        self.note.as_deref().unwrap_or("invite")
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let invite = select_invites!(
            "",
            "invite_links WHERE id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE",
            None::<DateTime<Utc>>,
            id
        );
        Ok(invite.fetch_optional(connection).await?)
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let saved = select_invites!(
            "WITH saved AS (
                 INSERT INTO invite_links (id, code, role, note, max_uses, expires_at, revoked_at, created_by)
                 VALUES ($2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (id) DO UPDATE SET note = excluded.note, max_uses = excluded.max_uses,
                     expires_at = excluded.expires_at, revoked_at = excluded.revoked_at
                 RETURNING *
             )",
            "saved",
            None::<DateTime<Utc>>,
            self.id,
            self.code,
            self.role as Role,
            self.note,
            self.max_uses,
            self.expires_at,
            self.revoked_at,
            self.created_by,
        );
        let fewer = Refusal::Invalid {
            pointer: "/max_uses".into(),
            message: format!("It has been used {} times; at least that many are expected.", self.uses),
        };
        saved.fetch_one(connection).await.on_constraint("invite_links_uses_range", fewer)
    }
}

/// Sort key of [`list`].
pub type Key = (DateTime<Utc>, Uuid);

/// At most `limit` invites, newest first, starting after `after`. Only those in `state` at `now`, if it is given.
pub async fn list(
    connection: &mut PgConnection,
    state: Option<InviteState>,
    now: DateTime<Utc>,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<Invite>> {
    let (time, id) = after.unzip();
    let invites = select_invites!(
        "",
        "invite_links
         WHERE deleted_at IS NULL
           AND ($2::text IS NULL OR $2 = invite_state(uses, max_uses, revoked_at, expires_at, $1))
           AND (created_at, id) < (coalesce($3, 'infinity'::timestamptz),
                                   coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
         ORDER BY created_at DESC, id DESC LIMIT $5",
        now,
        state.map(InviteState::name),
        time,
        id,
        limit
    );
    Ok(invites.fetch_all(connection).await?)
}

/// Finds an invite.
pub async fn find(connection: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> Result<Invite, Rejected<NotFound>> {
    let invite = select_invites!("", "invite_links WHERE id = $2 AND deleted_at IS NULL", now, id);
    invite.fetch_optional(connection).await?.or_not_found(Noun::Invite)
}

/// Revokes the invite, so that nobody can register with it any more.
pub fn revoke(now: DateTime<Utc>) -> Edit<Invite> {
    Edit::new(Verb::Revoked, move |invite: &mut Invite| {
        invite.revoked_at.get_or_insert(now);
        Ok(())
    })
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

/// Creates an invite.
pub async fn create(tx: &mut Tx, new: NewInvite) -> Result<Invite, Rejected<Refusal>> {
    let created_by = tx.actor().user_id;
    resource::create(tx, &Invite::new(new, created_by)).await
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
