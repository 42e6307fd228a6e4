//! The learners' chats with the AI tools.

use cairn_core::activity::{Action, Verb};
use cairn_core::noun::Noun;
use cairn_core::tools::Tool;
use cairn_core::tools::chats::{self, Filter};
use cairn_core::tools::messages;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::json;
use uuid::Uuid;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::routes::tools::messages::ToolMessage;
use crate::security::SecurityEvent;
use crate::time::Time;
use crate::{App, Problem};

/// The learners' chats with the AI tools.
pub struct ChatsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The learner in a chat.
#[derive(Clone, Debug, Object)]
pub struct ChatUser {
    /// Identifies the learner.
    pub id: Uuid,
    /// The email address.
    pub email: String,
    /// The first name.
    pub first_name: String,
    /// The last name; null if there is none.
    pub last_name: Option<String>,
}

/// A learner's chat with a tool.
#[derive(Clone, Debug, Object)]
pub struct Chat {
    /// Identifies the chat.
    pub id: Uuid,
    /// The tool.
    pub tool_type: ToolType,
    /// The learner.
    pub user: ChatUser,
    /// The number of messages.
    #[oai(validator(minimum(value = "0")))]
    pub messages: i64,
    /// When the chat was created.
    pub created_at: Time,
    /// When a question was last asked, answered or cancelled.
    pub updated_at: Time,
}

impl From<chats::Chat> for Chat {
    fn from(chat: chats::Chat) -> Self {
        Self {
            id: chat.id,
            tool_type: chat.tool.into(),
            user: ChatUser {
                id: chat.user_id,
                email: chat.email,
                first_name: chat.first_name,
                last_name: chat.last_name,
            },
            messages: chat.messages,
            created_at: chat.created_at.into(),
            updated_at: chat.updated_at.into(),
        }
    }
}

#[OpenApi]
impl ChatsApi {
    /// List chats
    ///
    /// The most recently used first.
    #[oai(path = "/admin/chats", method = "get", operation_id = "listChats", tag = Tag::ToolsAdmin)]
    async fn list_chats(
        &self,
        _caller: Admin,
        /// Only chats with this tool.
        tool_type: Query<Option<ToolType>>,
        /// Only chats of this learner.
        user_id: Query<Option<Uuid>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Chat>>, Problem> {
        let filter = Filter { tool: tool_type.0.map(Tool::from), user_id: user_id.0 };
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = chats::list(&mut connection, filter, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.updated_at, last.id)))
    }

    /// Get a chat
    #[oai(path = "/admin/chats/:chat_id", method = "get", operation_id = "getChat", tag = Tag::ToolsAdmin)]
    async fn get_chat(
        &self,
        _caller: Admin,
        /// The chat.
        chat_id: Path<Uuid>,
    ) -> Result<Json<Chat>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(chats::find(&mut connection, chat_id.0).await?.into()))
    }

    /// List the messages of a chat
    ///
    /// Newest first.
    #[oai(
        path = "/admin/chats/:chat_id/messages",
        method = "get",
        operation_id = "listChatMessages",
        tag = Tag::ToolsAdmin
    )]
    async fn list_chat_messages(
        &self,
        caller: Admin,
        /// The chat.
        chat_id: Path<Uuid>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<ToolMessage>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let chat = chats::find(&mut *self.app.connection().await?, chat_id.0).await?;
        let read = Action::new(Noun::Chat, Verb::Read).on(chat.id, "").with(json!({ "user_id": chat.user_id }));
        self.app.record_access(&caller, SecurityEvent::ChatRead, read).await?;
        let mut connection = self.app.connection().await?;
        let rows = messages::page(&mut connection, chat_id.0, page.after()?, page.rows()).await?;
        page.answer_within(rows, |message| message.content.len(), |last| Some((last.created_at, last.id)))
    }
}
