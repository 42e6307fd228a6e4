//! An export of everything that is stored about the signed-in user.

use cairn_core::actor::Caller;
use cairn_core::db::{Purpose, within};
use cairn_core::users::export::{self, Section};
use cairn_core::users::sessions;
use cairn_core::users::tokens::TokenSubject;
use cairn_core::{Error, Result};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem_openapi::{ApiResponse, OpenApi};
use serde_json::json;
use uuid::Uuid;

use crate::answers::Lines;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Problem, time};

/// An export of everything that is stored about the signed-in user.
pub struct MyExportApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The export.
#[derive(ApiResponse)]
pub enum ExportMyDataResponse {
    /// One JSON object per line: `{"type": …, "data": {…}}`. The types are `account`, `session`, `roadmap_progress`,
    /// `stage_progress`, `lesson`, `task`, `favorite`, `project`, `like`, `message` and `activity`. The last line has the
    /// type `end` and the number of items; without it, the export is incomplete.
    #[oai(status = 200)]
    Lines(
        Lines,
        /// A suggested file name.
        #[oai(header = "Content-Disposition")]
        String,
    ),
}

#[OpenApi]
impl MyExportApi {
    /// Export my data
    ///
    /// Everything that is stored about the signed-in user, except the hash of the password. Streamed, so that it can be of
    /// any size.
    #[oai(path = "/me/export", method = "get", operation_id = "exportMyData", tag = Tag::Me)]
    async fn export_my_data(&self, caller: Member) -> Result<ExportMyDataResponse, Problem> {
        let mut export =
            Export { app: self.app.clone(), caller: Caller::clone(&caller), section: 0, after: None, items: 0 };
        // A failure before the first piece is answered with a problem.
        let first = export.next_piece().await?;
        let pieces = stream::iter(first.map(Ok)).chain(export.into_pieces()).boxed();
        let disposition = "attachment; filename=\"my-data.ndjson\"".to_owned();
        Ok(ExportMyDataResponse::Lines(Lines::new(pieces), disposition))
    }
}

/// The state of an export.
struct Export {
    app: App,
    caller: Caller,
    /// The section that is being read; one more than there are when its end has been sent.
    section: usize,
    /// The last item that was read of it.
    after: Option<(DateTime<Utc>, Uuid)>,
    items: usize,
}

impl Export {
    /// The pieces in order. The next is read only when the one before has been sent, and no connection to the database is
    /// held in between.
    fn into_pieces(self) -> BoxStream<'static, std::io::Result<String>> {
        let pieces = stream::try_unfold(self, async |mut export| match export.next_piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, export))),
            Err(error) => {
                tracing::error!(error = %error, "an export of a user's data was cut");
                Err(std::io::Error::other("the export failed"))
            }
        });
        pieces.boxed()
    }

    async fn next_piece(&mut self) -> Result<Option<String>> {
        within(Purpose::Requests.limits().hold, self.read_piece()).await
    }

    async fn read_piece(&mut self) -> Result<Option<String>> {
        let mut connection = self.app.db.acquire().await?;
        // An export may take long: it ends with its session.
        let subject = TokenSubject { user_id: self.caller.user_id, session_id: self.caller.session_id };
        if sessions::authenticate(&mut connection, subject, self.app.now()).await?.is_none() {
            return Err(Error::message("the caller's session has ended"));
        }
        while let Some(&section) = Section::ALL.get(self.section) {
            let page = export::page(&mut connection, &self.caller, section, self.after).await?;
            self.after = page.items.last().filter(|_| page.has_more).map(|last| (last.at, last.id));
            self.section += usize::from(!page.has_more);
            if page.items.is_empty() {
                continue;
            }
            self.items += page.items.len();
            let lines = page.items.into_iter().map(|mut item| {
                time::rewrite(&mut item.data);
                format!("{}\n", json!({"type": section.name(), "data": item.data}))
            });
            return Ok(Some(lines.collect()));
        }
        let is_over = self.section > Section::ALL.len();
        self.section = Section::ALL.len() + 1;
        Ok((!is_over).then(|| format!("{}\n", json!({"type": "end", "data": {"items": self.items}}))))
    }
}
