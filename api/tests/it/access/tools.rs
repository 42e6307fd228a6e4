//! The tools, and what their users asked them.

use cairn_api::Code::{MessageNotFound, ReplyNotFound};

use super::table::Access::{Admins, Members, Mentors, Owner};
use super::table::{Row, row};

const OPEN: &[(&str, &str)] = &[("reply_id", "$open reply")];
const ANSWERED: &[(&str, &str)] = &[("reply_id", "$reply 1")];
const ASKED: &[(&str, &str)] = &[("mentor_question_id", "$asked 2")];
/// Questions that each mentor answers once.
const WAITING: &[(&str, &str)] = &[("mentor_question_id", "$asked {caller}")];
const FAILED: &[(&str, &str)] = &[("reply_id", "$failed reply")];

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("listTools", Members, 4),
    row("listToolMessages", Members, 3),
    row("askTool", Members, 14).body(r#"{"message": "What are colours?"}"#),
    row("clearTool", Members, 12),
    row("transferToTool", Members, 15).given(&[("tool_type", "ideas")]).body(r#"{"text": "An idea"}"#),
    row("transferToTool", Owner(MessageNotFound), 16).given(&[("tool_type", "ideas")]).body(r#"{"message_id": "$assistant 1"}"#),
    row("getReply", Owner(ReplyNotFound), 4),
    row("streamReply", Owner(ReplyNotFound), 2).endless(),
    row("cancelReply", Owner(ReplyNotFound), 9).given(OPEN),
    row("retryReply", Owner(ReplyNotFound), 19).given(FAILED),

    row("rateReply", Owner(ReplyNotFound), 9).given(ANSWERED).body(r#"{"thumb": "up", "reason": "Clear"}"#),
    row("unrateReply", Owner(ReplyNotFound), 5).given(ANSWERED),
    row("askMentor", Owner(ReplyNotFound), 7).given(ANSWERED).body(r#"{"consent": true}"#),
    row("withdrawMentorQuestion", Owner(ReplyNotFound), 4).given(ANSWERED),
    row("listMentorQuestions", Mentors, 2),
    row("listMentorQuestions", Mentors, 2).given(&[("answered", "true")]),
    row("getMentorQuestion", Mentors, 2).given(ASKED),
    row("answerMentorQuestion", Mentors, 9).given(WAITING).body(r#"{"text": "An answer"}"#),

    row("listActiveInstructions", Admins, 2),
    row("listInstructions", Admins, 2),
    row("createInstruction", Admins, 5).body(r#"{"content": "Be kind.", "max_tokens": 100, "include_learner": false}"#),
    row("getInstruction", Admins, 2),
    row("activateInstruction", Admins, 8).given(&[("version", "2")]),
    row("rollBackInstruction", Admins, 9).given(&[("tool_type", "tz_helper"), ("version", "2")]),
    row("listEvaluations", Admins, 2),
    row("createEvaluation", Admins, 4).body(r#"{"tool_type": "ideas", "name": "New", "cases": [{"question": "How?"}]}"#),
    row("getEvaluation", Admins, 2),
    row("updateEvaluation", Admins, 5).body(r#"{"name": "Changed"}"#),
    row("deleteEvaluation", Admins, 5),
    row("restoreEvaluation", Admins, 5).given(&[("evaluation_id", "$gone evaluation")]),
    row("createEvaluationRun", Admins, 10).given(&[("evaluation_id", "$evaluation 2")]).body(r#"{"candidate_version": 2}"#),
    row("listEvaluationRuns", Admins, 3),
    row("getEvaluationRun", Admins, 2),
    row("listEvaluationAnswers", Admins, 3),
    row("createTryout", Admins, 12).body(r#"{"question": "What are colours?"}"#),
    row("getTryout", Admins, 2),
    row("listChats", Admins, 2),
    row("getChat", Admins, 2),
    row("listChatMessages", Admins, 5),
    row("exportChats", Admins, 8).given(&[("tool_type", "tz_helper")]),
    row("getToolStats", Admins, 4),
    row("getDailyToolStats", Admins, 3),
    row("listUnansweredQuestions", Admins, 2),
    row("listRatingReasons", Admins, 2),
    row("listBudgets", Admins, 2),
];
