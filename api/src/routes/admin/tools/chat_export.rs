//! An export of the learners' chats.

use std::collections::VecDeque;

use cairn_core::Result;
use cairn_core::activity::{Action, Verb};
use cairn_core::actor::Caller;
use cairn_core::db::{Purpose, within};
use cairn_core::noun::Noun;
use cairn_core::schema::is_visible;
use cairn_core::tools::Tool;
use cairn_core::tools::chats::{self, Chat, Filter};
use cairn_core::tools::messages::{self, Author, Message};
use cairn_core::tools::replies::ReplyState;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use poem_openapi::param::Query;
use poem_openapi::{ApiResponse, OpenApi};
use serde_json::json;
use uuid::Uuid;

use crate::answers::Markdown;
use crate::caller::Admin;
use crate::export::check_still_admin;
use crate::operation::{Problems, Tag};
use crate::routes::tools::ToolType;
use crate::security::SecurityEvent;
use crate::{App, Problem};

/// The number of rows to read at once: of chats, and of messages, which are long.
const CHATS: i64 = 100;
const MESSAGES: i64 = 20;

/// An export of the learners' chats.
pub struct ChatExportApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The export.
#[derive(ApiResponse)]
pub enum ExportChatsResponse {
    /// The chats, each with its messages in order. If the connection is closed early, the export is incomplete.
    #[oai(status = 200)]
    Text(
        Markdown,
        /// A suggested file name.
        #[oai(header = "Content-Disposition")]
        String,
    ),
}

#[OpenApi]
impl ChatExportApi {
    /// Export chats as Markdown
    ///
    /// Streamed, so that it can be of any size. What people and tools wrote is quoted, every line of it after `> `: a line
    /// without it is ours, whatever a message contains.
    #[oai(path = "/admin/chats/export", method = "get", operation_id = "exportChats", tag = Tag::ToolsAdmin)]
    async fn export_chats(
        &self,
        caller: Admin,
        /// Only chats with this tool.
        tool_type: Query<Option<ToolType>>,
        /// Only chats of this learner.
        user_id: Query<Option<Uuid>>,
    ) -> Result<ExportChatsResponse, Problem> {
        let filter = Filter { tool: tool_type.0.map(Tool::from), user_id: user_id.0 };
        let exported = json!({ "tool_type": filter.tool.map(Tool::name), "user_id": filter.user_id });
        let action = Action::new(Noun::Chat, Verb::Exported).with(exported);
        self.app.record_access(&caller, SecurityEvent::ChatsExported, action).await?;
        let mut export = Export {
            app: self.app.clone(),
            caller: Caller::clone(&caller),
            filter,
            after: None,
            chats: VecDeque::new(),
            sent: None,
        };
        // A failure before the first piece is answered with a problem.
        let first = export.next_piece().await?;
        let pieces = stream::iter(first.map(Ok)).chain(export.into_pieces()).boxed();
        let disposition = "attachment; filename=\"chats.md\"".to_owned();
        Ok(ExportChatsResponse::Text(Markdown::new(pieces), disposition))
    }
}

/// The time and id of a message.
type Place = (DateTime<Utc>, Uuid);

/// The state of an export.
struct Export {
    app: App,
    caller: Caller,
    filter: Filter,
    /// The last chat that was read.
    after: Option<Uuid>,
    /// Chats that have been read, but not all of their messages.
    chats: VecDeque<Chat>,
    /// The last message of the first of them that was sent.
    sent: Option<Place>,
}

impl Export {
    /// The pieces in order. Each is read only after the previous one has been sent, and no database connection is held in
    /// between.
    fn into_pieces(self) -> BoxStream<'static, std::io::Result<String>> {
        let pieces = stream::try_unfold(self, async |mut export| match export.next_piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, export))),
            Err(error) => {
                tracing::error!(error = %error, "an export of chats was cut");
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
        check_still_admin(&self.app, &self.caller, &mut connection).await?;
        if self.chats.is_empty() {
            self.chats = chats::list_by_id(&mut connection, self.filter, self.after, CHATS).await?.into();
            let Some(last) = self.chats.back() else { return Ok(None) };
            self.after = Some(last.id);
        }
        let chats = self.next_chats();
        let page = messages::list_oldest_first(&mut connection, &chats, self.sent, MESSAGES).await?;
        Ok(Some(self.write(chats.len(), &page)))
    }

    /// As many of the chats as it takes to fill a piece, so that short chats do not take a statement each.
    fn next_chats(&self) -> Vec<Uuid> {
        let mut messages = 0;
        let is_needed = |chat: &&Chat| {
            let is_needed = messages < MESSAGES;
            messages += chat.messages;
            is_needed
        };
        self.chats.iter().take_while(is_needed).map(|chat| chat.id).collect()
    }

    /// Writes the next messages of the first `count` chats, and removes the chats that are complete.
    fn write(&mut self, count: usize, messages: &[Message]) -> String {
        let is_full = i64::try_from(messages.len()) == Ok(MESSAGES);
        let (mut text, mut messages) = (String::new(), messages.iter().peekable());
        for _ in 0..count {
            let Some(chat) = self.chats.front() else { break };
            if self.sent.is_none() {
                text.push_str(&heading(chat));
            }
            while let Some(message) = messages.next_if(|message| message.chat_id == chat.id) {
                text.push_str(&paragraph(message));
                self.sent = Some((message.created_at, message.id));
            }
            if is_full && messages.peek().is_none() {
                break; // The chat may have more.
            }
            self.chats.pop_front();
            self.sent = None;
        }
        text
    }
}

fn heading(chat: &Chat) -> String {
    let name = [Some(chat.first_name.as_str()), chat.last_name.as_deref()];
    let name = literal(&name.into_iter().flatten().collect::<Vec<_>>().join(" "));
    let email = literal(&chat.email);
    format!("# {}: {name}, {email}\n\nChat {}, {} messages\n\n", chat.tool.title(), chat.id, chat.messages)
}

fn paragraph(message: &Message) -> String {
    let author = match (message.author, message.reply_state) {
        (Author::User, _) => "Learner",
        (Author::Assistant, Some(ReplyState::Cancelled)) => "Tool, cancelled",
        (Author::Assistant, _) => "Tool",
        (Author::Mentor, _) => "Mentor",
    };
    let time = message.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("## {author}, {time}\n\n{}\n", quoted(message.content.trim_end()))
}

/// A block quote of the text, so that no line of it can pass as one of the export: it begins and ends where its `> ` do,
/// whatever headings, fences and HTML are in it.
fn quoted(text: &str) -> String {
    // The line endings of Markdown.
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.split('\n').fold(String::new(), |quote, line| quote + if line.is_empty() { ">" } else { "> " } + line + "\n")
}

/// The text with nothing in it that Markdown would interpret, on one line.
fn literal(text: &str) -> String {
    let mut literal = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() && !matches!(character, '.' | '@' | '-' | '\'') {
            literal.push('\\');
        }
        literal.push(if is_visible(character) { character } else { ' ' });
    }
    literal
}

#[cfg(test)]
mod tests {
    use cairn_core::tools::messages::{Author, Message};
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{is_visible, literal, paragraph};

    fn message(content: String) -> Message {
        Message {
            id: Uuid::nil(),
            chat_id: Uuid::nil(),
            author: Author::User,
            content,
            has_copyable_content: false,
            created_at: DateTime::UNIX_EPOCH,
            reply_id: None,
            reply_state: None,
        }
    }

    /// What somebody would try: the lines of the export itself, and what begins or ends blocks of Markdown.
    fn fragment() -> impl Strategy<Value = String> {
        const MARKUP: [&str; 9] = [
            "## Tool, 1970-01-01T00:00:00Z",
            "# Ideas: Ben, ben@example.test",
            "```",
            "~~~",
            "<!--",
            "-->",
            ">",
            "---",
            "    ",
        ];
        const ENDINGS: [&str; 9] = ["\n", "\r", "\r\n", "\n\n", " ", "\u{2028}", "\u{b}", "\u{c}", "\u{85}"];
        prop_oneof![
            proptest::sample::select(&MARKUP[..]).prop_map(str::to_owned),
            proptest::sample::select(&ENDINGS[..]).prop_map(str::to_owned),
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn no_message_can_pass_as_the_work_of_another(fragments in prop::collection::vec(fragment(), 0..12)) {
            let content = fragments.concat();
            let text = paragraph(&message(content.clone()));
            let body = text.strip_prefix("## Learner, 1970-01-01T00:00:00Z\n\n").unwrap().strip_suffix("\n\n").unwrap();
            // A reader of Markdown ends lines at these characters only.
            let lines: Vec<&str> = body.split(['\n', '\r']).collect();
            prop_assert!(lines.iter().all(|line| line.starts_with('>')), "{text}");
            let unquoted: Vec<&str> = lines.iter().map(|line| line.strip_prefix("> ").unwrap_or("")).collect();
            let written = content.trim_end().replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(unquoted, written.split('\n').collect::<Vec<_>>());
        }

        #[test]
        fn a_name_stays_within_its_heading(name in any::<String>()) {
            let (mut plain, mut heading) = (String::new(), literal(&name));
            heading.push(' ');
            let mut characters = heading.chars();
            while let Some(character) = characters.next() {
                prop_assert!(!"#<>[]()*_`!&|~".contains(character) && is_visible(character), "{heading}");
                plain.extend(if character == '\\' { characters.next() } else { Some(character) });
            }
            prop_assert_eq!(plain, name.replace(|character| !is_visible(character), " ") + " ");
        }
    }
}
