//! Invites.

use cairn_core::users::invites::{self, Invite as Row};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::answers::{Created, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::users::me::Role;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Problem};

/// Invites.
pub struct InvitesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

const PATH: &str = "/v1/admin/invites";

/// Whether an invite can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "invites::InviteState")]
pub enum InviteState {
    /// It can.
    Active,
    /// It was used as often as allowed.
    UsedUp,
    /// Its time has passed.
    Expired,
    /// An admin revoked it.
    Revoked,
}

view! {
    /// An invite as lists show it.
    pub struct InviteSummary from Row {
        /// Identifies the invite.
        id: Uuid,
        /// The role of accounts that are registered with it.
        role: Role,
        /// A note for admins; null if there is none.
        note: Option<String>,
        /// Whether it can be used.
        state: InviteState,
        /// How many accounts may be registered with it.
        max_uses: i32,
        /// How many were.
        #[oai(validator(minimum(value = "0")))]
        uses: i32,
        /// When it stops being valid; null for never.
        expires_at: OptionalTime,
        /// When it was created.
        created_at: Time,
    }
}

view! {
    /// An invite: a code to register with.
    pub struct Invite from Row {
        /// Identifies the invite.
        id: Uuid,
        /// The code, which people register with. Keep it among those it is meant for.
        code: String,
        /// The role of accounts that are registered with it.
        role: Role,
        /// A note for admins; null if there is none.
        note: Option<String>,
        /// Whether it can be used.
        state: InviteState,
        /// How many accounts may be registered with it.
        max_uses: i32,
        /// How many were.
        #[oai(validator(minimum(value = "0")))]
        uses: i32,
        /// When it stops being valid; null for never.
        expires_at: OptionalTime,
        /// When it was revoked; null if it was not.
        revoked_at: OptionalTime,
        /// Who created it; null for the command line.
        created_by: Option<Uuid>,
        /// The version, which is also its `ETag`. Uses do not change it.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed.
        updated_at: Time,
    }
}

/// An invite to create. The code is made for it.
#[derive(Clone, Debug, Object)]
pub struct NewInvite {
    /// The role of accounts that are registered with it.
    pub role: Role,
    /// How many accounts may be registered with it.
    #[oai(default = "once", validator(minimum(value = "1"), maximum(value = "100000")))]
    pub max_uses: i32,
    /// When it stops being valid; null for never.
    pub expires_at: OptionalTime,
    /// A note for admins; null if there is none.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub note: Option<String>,
}

fn once() -> i32 {
    1
}

fields! {
    /// What of an invite can be changed.
    pub struct InviteTerms of Row {
        /// How many accounts may be registered with it; not fewer than were.
        #[oai(validator(minimum(value = "1"), maximum(value = "100000")))]
        max_uses: i32,
        /// When it stops being valid; null for never.
        expires_at: OptionalTime,
        /// A note for admins; null if there is none.
        #[oai(validator(min_length = 1, max_length = 200))]
        note: Option<String>,
    }
}

#[OpenApi]
impl InvitesApi {
    /// List invites
    ///
    /// The newest first.
    #[oai(path = "/admin/invites", method = "get", operation_id = "listInvites", tag = Tag::AdminUsers)]
    async fn list_invites(
        &self,
        _caller: Admin,
        /// Only invites in this state.
        state: Query<Option<InviteState>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<InviteSummary>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let (state, now) = (state.0.map(Into::into), self.app.now());
        let mut connection = self.app.connection().await?;
        let rows = invites::list(&mut connection, state, now, page.after()?, page.rows()).await?;
        page.answer(rows, |invite| Some((invite.created_at, invite.id)))
    }

    /// Create an invite
    #[oai(path = "/admin/invites", method = "post", operation_id = "createInvite", tag = Tag::AdminUsers)]
    async fn create_invite(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewInvite>,
    ) -> Result<Created<Invite>, Problem> {
        let new = invites::NewInvite {
            role: body.role.into(),
            max_uses: body.max_uses,
            expires_at: body.expires_at.into(),
            note: body.note.clone(),
        };
        let row = Row::new(new, Some(caller.user_id));
        self.app.create_from(&caller, (PATH, "createInvite"), key.0, &body, |_| Ok(row)).await
    }

    /// Get an invite
    #[oai(path = "/admin/invites/:invite_id", method = "get", operation_id = "getInvite", tag = Tag::AdminUsers)]
    async fn get_invite(
        &self,
        _caller: Admin,
        /// The invite.
        invite_id: Path<Uuid>,
    ) -> Result<Versioned<Invite>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(invites::find(&mut connection, invite_id.0, self.app.now()).await?.into()))
    }

    /// Update an invite
    #[oai(path = "/admin/invites/:invite_id", method = "patch", operation_id = "updateInvite", tag = Tag::AdminUsers)]
    async fn update_invite(
        &self,
        caller: Admin,
        /// The invite.
        invite_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<InviteTerms>>,
    ) -> Result<Versioned<Invite>, Problem> {
        self.app.edit(&caller, invite_id.0, version, body.edit(InviteTerms::set)).await
    }

    /// Revoke an invite
    ///
    /// Nobody can register with it any more. Accounts that were registered with it stay.
    #[oai(
        path = "/admin/invites/:invite_id/revoke",
        method = "post",
        operation_id = "revokeInvite",
        tag = Tag::AdminUsers
    )]
    async fn revoke_invite(
        &self,
        caller: Admin,
        /// The invite.
        invite_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<Invite>, Problem> {
        self.app.edit(&caller, invite_id.0, version, invites::revoke(self.app.now())).await
    }
}
