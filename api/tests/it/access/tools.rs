//! The tools, and what their users asked them.

use cairn_api::Code::{MessageNotFound, ReplyNotFound};

use super::table::Access::{Admins, Members, Owner};
use super::table::{Row, row};

const OPEN: &[(&str, &str)] = &[("reply_id", "$open reply")];
const FAILED: &[(&str, &str)] = &[("reply_id", "$failed reply")];

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("listTools", Members, 4),
    row("listToolMessages", Members, 3),
    row("askTool", Members, 14).body(r#"{"message": "What are colours?"}"#),
    row("clearTool", Members, 9),
    row("transferToTool", Members, 14).given(&[("tool_type", "ideas")]).body(r#"{"text": "An idea"}"#),
    row("transferToTool", Owner(MessageNotFound), 15).given(&[("tool_type", "ideas")]).body(r#"{"message_id": "$assistant 1"}"#),
    row("getReply", Owner(ReplyNotFound), 4),
    row("streamReply", Owner(ReplyNotFound), 2),
    row("cancelReply", Owner(ReplyNotFound), 9).given(OPEN),
    row("retryReply", Owner(ReplyNotFound), 17).given(FAILED),

    row("listActiveInstructions", Admins, 2),
    row("listInstructions", Admins, 2),
    row("createInstruction", Admins, 5).body(r#"{"content": "Be kind.", "max_tokens": 100, "include_learner": false}"#),
    row("getInstruction", Admins, 2),
    row("activateInstruction", Admins, 7).given(&[("version", "2")]),
    row("createTryout", Admins, 12).body(r#"{"question": "What are colours?"}"#),
    row("getTryout", Admins, 2),
    row("listChats", Admins, 2),
    row("getChat", Admins, 2),
    row("listChatMessages", Admins, 5),
    row("exportChats", Admins, 8).given(&[("tool_type", "tz_helper")]),
    row("getToolStats", Admins, 4),
];
