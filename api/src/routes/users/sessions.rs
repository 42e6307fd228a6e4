//! The sessions of the signed-in user.

use cairn_core::users::sessions;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::NoContent;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::time::Time;
use crate::view::view;
use crate::{App, Problem};

/// The sessions of the signed-in user.
pub struct SessionsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A session: one sign-in on one device.
    pub struct Session from sessions::Session {
        /// Identifies the session.
        id: Uuid,
        /// Whether it is the one that calls.
        is_current: bool,
        /// The program that signed in, as it calls itself; null if it did not say.
        user_agent: Option<String>,
        /// The IP address of the sign-in; null if it is not known.
        ip: Option<String>,
        /// When the user signed in.
        created_at: Time,
        /// When the session was last refreshed.
        last_used_at: Time,
        /// When it ends unless it is refreshed before.
        expires_at: Time,
    }
}

/// The number of sessions that were ended.
#[derive(Clone, Debug, Object)]
pub struct RevokedSessions {
    /// How many sessions the call has ended.
    #[oai(validator(minimum(value = "0")))]
    pub revoked_count: u64,
}

#[OpenApi]
impl SessionsApi {
    /// List my sessions
    ///
    /// Those that have not ended, the newest sign-in first.
    #[oai(path = "/me/sessions", method = "get", operation_id = "listMySessions", tag = Tag::Me)]
    async fn list_my_sessions(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Session>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = sessions::list(&mut connection, &caller, self.app.now(), page.after()?, page.rows()).await?;
        page.answer(rows, |session| Some((session.created_at, session.id)))
    }

    /// Revoke one of my sessions
    ///
    /// It ends at once. Ending the one that calls is signing out.
    #[oai(path = "/me/sessions/:session_id", method = "delete", operation_id = "revokeMySession", tag = Tag::Me)]
    async fn revoke_my_session(
        &self,
        caller: Member,
        /// The session.
        session_id: Path<Uuid>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        sessions::end(&mut tx, session_id.0).await?;
        tx.commit().await?;
        Ok(NoContent)
    }

    /// Revoke my other sessions
    ///
    /// All sessions end at once, except the one that calls. With `include_current` that one ends too, so the user is signed out
    /// everywhere.
    #[oai(path = "/me/sessions", method = "delete", operation_id = "revokeMyOtherSessions", tag = Tag::Me)]
    async fn revoke_my_other_sessions(
        &self,
        caller: Member,
        /// Whether the session that calls ends, too.
        #[oai(default)]
        include_current: Query<bool>,
    ) -> Result<Json<RevokedSessions>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let revoked = sessions::end_all(&mut tx, include_current.0).await?;
        tx.commit().await?;
        Ok(Json(RevokedSessions { revoked_count: u64::try_from(revoked).unwrap_or(u64::MAX) }))
    }
}
