//! Chats with the AI tools, and settings.

use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::{Plan, Target, Verdict};
use super::row::Row;
use super::state::{SETTING, State, id_for};
use crate::clock::new_id;
use crate::settings::definition;
use crate::tools::has_copyable_content;

const TOOLS: [&str; 3] = ["assistant", "tz_helper", "ideas"];

/// The chat of a user with a tool. A user has one with each.
pub(super) fn chat(row: &Row, state: &mut State) -> Verdict {
    chat_of(row, state).into()
}

fn chat_of(row: &Row, state: &mut State) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let tool = row.word("tool_type").unwrap_or_default();
    if !TOOLS.contains(&tool.as_str()) {
        return Err("tool_type: not one of assistant, tz_helper and ideas".to_owned());
    }
    if let Some(same) = state.chat(user_id, &tool) {
        // Its messages join those of the chat that is there.
        return Ok(Plan::new(same));
    }
    let mut plan = Plan::new(id_for(&row.key()));
    new_chat(state, &mut plan, user_id, &tool, row);
    Ok(plan)
}

fn new_chat(state: &mut State, plan: &mut Plan, user_id: Uuid, tool: &str, row: &Row) {
    let (created_at, updated_at) = (row.created(state.now), row.updated(state.now));
    state.add_chat(user_id, tool, plan.id, created_at);
    plan.insert(
        Target::Chats,
        json!({
            "id": plan.id, "user_id": user_id, "tool_type": tool, "created_at": created_at, "updated_at": updated_at,
        }),
    );
}

/// A message of a chat.
pub(super) fn message(row: &Row, state: &mut State) -> Verdict {
    match state.parent(row, "chat_id", "tool_chats") {
        Ok(chat_id) => message_of(row, state, chat_id, Plan::new(id_for(&row.key()))).into(),
        Err(reason) => Verdict::Skip(reason),
    }
}

/// A message of the assistant from before there were other tools: of the user's chat with it.
pub(super) fn old_message(row: &Row, state: &mut State) -> Verdict {
    old_message_of(row, state).into()
}

fn old_message_of(row: &Row, state: &mut State) -> Result<Plan, String> {
    let user_id = state.parent(row, "user_id", "users")?;
    let mut chat = Plan::new(new_id());
    let chat_id = state.chat(user_id, "assistant").unwrap_or_else(|| {
        new_chat(state, &mut chat, user_id, "assistant", row);
        chat.id
    });
    // Not the id that it had, which a message of `tool_messages` may have, too.
    let mut plan = Plan::new(new_id());
    plan.records.append(&mut chat.records);
    message_of(row, state, chat_id, plan)
}

fn message_of(row: &Row, state: &State, chat_id: Uuid, mut plan: Plan) -> Result<Plan, String> {
    let role = row.word("role").unwrap_or_default();
    if !["user", "assistant"].contains(&role.as_str()) {
        return Err("role: neither user nor assistant".to_owned());
    }
    // Not trimmed: white space has a meaning in what was written.
    let Some(content) = row.value("content").and_then(Value::as_str) else { return Err("content is empty".to_owned()) };
    // A message without a time stands at the beginning of its chat.
    let fallback = state.chat_time(chat_id).unwrap_or(state.now);
    let is_copyable = row.flag("has_copyable_content").unwrap_or_else(|| has_copyable_content(content));
    let message = json!({
        "id": plan.id, "chat_id": chat_id, "role": role, "content": content,
        "has_copyable_content": is_copyable, "created_at": row.created(fallback),
    });
    plan.insert(Target::Messages, message);
    Ok(plan)
}

/// What became of a value for a setting here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placed {
    Planned,
    /// Another row or entry has decided the setting already.
    Repeated,
    /// There is no such setting, or it cannot have the value.
    Unknown,
}

const REPEATED: &str = "another row decides the same setting";

/// A setting: one that has the same key and type here, or the visibility of the navigation. What an admin has set here stays.
pub(super) fn setting(row: &Row, state: &mut State) -> Verdict {
    let Some(key) = row.text_of(&["setting_key", "key"]) else { return Verdict::skip("the setting has no key") };
    let Some(value) = row.value("setting_value").or_else(|| row.value("value")) else {
        return Verdict::skip("the setting has no value");
    };
    let mut plan = Plan::new(new_id());
    if key.starts_with("navigation") {
        return navigation(row, state, plan, value);
    }
    match place(row, state, &mut plan, &key, value) {
        Placed::Planned => Verdict::Map(plan),
        Placed::Repeated => Verdict::skip(REPEATED),
        Placed::Unknown => Verdict::skip("no setting here has this meaning"),
    }
}

/// The visibility of the entries of the navigation. Two of them may be one here: the first counts.
fn navigation(row: &Row, state: &mut State, mut plan: Plan, value: &Value) -> Verdict {
    let (mut is_left_out, mut is_repeated) = (false, false);
    for (item, value) in value.as_object().into_iter().flatten() {
        let shown =
            [Some(value), value.get("visible"), value.get("enabled")].into_iter().flatten().find(|v| v.is_boolean());
        let name = match item.as_str() {
            "community" | "showcase" => "projects",
            "assistant" | "chat" => "tools",
            other => other,
        };
        let key = format!("navigation.{name}");
        match shown.map_or(Placed::Unknown, |shown| place(row, state, &mut plan, &key, shown)) {
            Placed::Planned => {}
            Placed::Repeated => is_repeated = true,
            Placed::Unknown => is_left_out = true,
        }
    }
    if plan.records.is_empty() {
        return Verdict::skip(if is_repeated { REPEATED } else { "no setting here has this meaning" });
    }
    if is_left_out {
        plan.notes.push("navigation: entries that no setting here controls were left out".to_owned());
    }
    if is_repeated {
        plan.notes.push("navigation: of several entries that are one setting here, the first counts".to_owned());
    }
    Verdict::Map(plan)
}

/// Plans a value for a setting, unless one was planned before: one statement cannot set the same setting twice. The key is named,
/// so that a later run leaves out the same rows.
fn place(row: &Row, state: &mut State, plan: &mut Plan, key: &str, value: &Value) -> Placed {
    let Ok(Some(definition)) = definition(key) else { return Placed::Unknown };
    if !definition.check(value).is_empty() {
        return Placed::Unknown;
    }
    if state.find(SETTING, key).is_some() {
        return Placed::Repeated;
    }
    state.remember(SETTING, key, plan.id);
    plan.name(SETTING, key, plan.id);
    let (created_at, updated_at) = (row.created(state.now), row.updated(state.now));
    let setting =
        json!({ "key": key, "value": value, "version": 1, "created_at": created_at, "updated_at": updated_at });
    plan.insert(Target::Settings, setting);
    Placed::Planned
}
