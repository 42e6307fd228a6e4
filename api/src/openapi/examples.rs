//! Gives every object of the document an example, made from its members. `#[oai(example)]` overrides it.

use serde_json::{Map, Value, json};

use super::json::object;

/// The value of a member in examples. `Schema.member` counts before `member`; a name with an upper-case letter alone is the
/// value of an enum.
#[expect(clippy::too_many_lines, clippy::match_same_arms, reason = "a table, in the order of the names")]
fn named(name: &str) -> Option<Value> {
    Some(match name {
        "AcceptedQuestion.state" | "ToolMessage.reply_state" => json!("queued"),
        "ActivityTarget.type" => json!("lesson"),
        "ActivityActor.email" | "actor_email" => json!("admin@example.com"),
        "ChatUser.email" | "email" => json!("learner@example.com"),
        "FieldError.code" | "code" => json!("required"),
        "Invite.note" | "InviteSummary.note" | "NewInvite.note" | "InviteTermsChanges.note" => json!("Spring course"),
        "Instruction.content" | "NewInstruction.content" => {
            json!("You are a mentor on a course platform. Answer briefly and concretely.")
        }
        "Job.id" | "JobDetail.id" => json!("01K8Q2V7W3N5R9T1X4Y6Z8A0BC"),
        "JobSelection.queue" | "JobQueue.name" | "queue" => json!("likes"),
        "JobSelection.state" => json!("dead"),
        "JobSelection.kind" | "UserBatch.reason" | "UserBatch.role" => Value::Null,
        "Job.state" | "JobDetail.state" => json!("retrying"),
        "JobWorker.name" => json!("worker-1-likes"),
        "LessonStatus" => json!("in_progress"),
        "AdminMaterial.title" | "NewMaterial.title" | "Material.title" => json!("A list of all elements"),
        "AdminTask.title" | "NewTask.title" | "LessonTask.title" => json!("Create a file named index.html"),
        "MaterialKind" => json!("link"),
        "CourseImport.error" => Value::Null,
        "CourseImport.state" => json!("queued"),
        // Either this or a text.
        "Transfer.message_id" => Value::Null,
        "Tryout.error" | "Tryout.reason" => Value::Null,
        "Tryout.answer" => json!("A viewport is the part of the page that you can see."),
        "Tryout.question" | "NewTryout.question" => json!("What is a viewport?"),
        "Tryout.finished_at" => json!("2026-03-02T09:30:00Z"),
        "Tryout.prompt_tokens" => json!(420),
        "Tryout.completion_tokens" => json!(12),
        "Tryout.first_token_ms" => json!(350),
        "TryoutState" => json!("completed"),
        "document" => json!("version: 1\nmodules: [{slug: html-basics, title: HTML basics}]\n"),
        "AdminModule.title" | "NewModule.title" | "ModuleChanges.title" | "Module.title" | "module_title" => {
            json!("HTML basics")
        }
        "SearchHit.snippet" | "SearchHit.title" => {
            json!([{"text": "Hello, ", "is_match": false}, {"text": "HTML", "is_match": true}])
        }
        "AdminProject.title"
        | "NewProject.title"
        | "Project.title"
        | "ProjectContentChanges.title"
        | "ProjectSummary.title" => json!("Pottery classes"),
        "ProjectCategory" => json!("website"),
        "ProjectReason.reason" => json!("Please say in the summary who the page is for."),
        "ProjectStatus" | "Publication" => json!("published"),
        "NewProject.summary" | "Project.summary" | "ProjectContentChanges.summary" | "ProjectSummary.summary" => {
            json!("Dates of beginner classes, and a form to reserve a place.")
        }
        "ReplyCancelled.reason" => json!("cancelled"),
        "ReplyChunk.text" => json!("Use a grid with "),
        "ReplyFailed.reason" | "ToolFailures.reason" => json!("provider_unavailable"),
        "ReplyState" => json!("streaming"),
        "AdminActivityDetails.details" => json!({"before": {"title": "Grid"}, "after": {"title": "Swiss grid"}}),
        "RecordedChange.action" => json!("style.updated"),
        "RecordedChange.after" => json!({"title": "Swiss grid"}),
        "RecordedChange.before" => json!({"title": "Grid"}),
        "RecordedChange.title" => json!("Swiss grid"),
        "AdminSetting.default" | "AdminSetting.value" | "NewSettingValue.value" => json!(50),
        "AdminSetting.description" => json!("How many questions one learner may ask in 24 hours."),
        "AdminSetting.key" => json!("ai.daily_questions"),
        "AdminSetting.schema" => json!({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
        "AdminRoadmap.title"
        | "NewRoadmap.title"
        | "RoadmapChanges.title"
        | "Roadmap.title"
        | "RoadmapTree.title"
        | "roadmap_title" => json!("Your first web page"),
        "AdminStage.title" | "NewStage.title" | "StageChanges.title" | "Stage.title" | "MissingStage.title"
        | "stage_title" => json!("First steps"),
        "Style.title" | "StyleSummary.title" | "AdminStyle.title" | "NewStyle.title" | "StyleChanges.title" => {
            json!("Swiss grid")
        }
        "ToolInfo.title" => json!("Assistant"),
        "ToolMessage.role" => json!("user"),
        "ToolMessage.reply_id" => id("Reply", "id"),
        "Suspension.reason" => json!("Shares the account with others."),
        "UserResult.outcome" => json!("changed"),
        "access_token" => json!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl"),
        "action" => json!("lesson.completed"),
        "consent" => json!(true),
        "avatar_url" => json!("https://pictures.example/anna.png"),
        "body" => json!("# Hello\n\nOpen an editor."),
        "content" | "message" => json!("How do I centre a card on the page?"),
        "AdminStyle.description" | "NewStyle.description" | "Style.description" | "StyleChanges.description" => {
            json!("A visible grid, one sans-serif typeface and plenty of white space.")
        }
        "ToolInfo.description" => json!("Answers questions about the course."),
        "AdminTask.description" | "NewTask.description" | "LessonTask.description" => {
            json!("Save it in a folder of its own.")
        }
        "description" => json!("Built in a week. The list of dates is a text file."),
        "duration_minutes" => json!(15),
        "error" => json!("not finished within 10 s"),
        "expires_in" => json!(900),
        "DailySeries.time_zone" => json!("Europe/Berlin"),
        "LessonStats.title" => json!("Hello, HTML"),
        "FunnelStage.title" => json!("First steps"),
        "features" => json!(["new_editor"]),
        "first_name" => json!("Anna"),
        "Invite.code" | "invite_code" => json!("Zk3vT0aWc2m5Qx9dLr7PyA"),
        "is_active"
        | "is_alive"
        | "is_changed"
        | "is_current"
        | "is_favorite"
        | "is_liked"
        | "is_payload_readable"
        | "is_required" => {
            json!(true)
        }
        "kind" => json!("count_likes"),
        "last_name" => json!("Moreno"),
        "lessons_total" => json!(6),
        "limit" => json!(50),
        "locked_by" => json!([]),
        "max_attempts" => json!(25),
        "max_tokens" => json!(1500),
        "max_uses" => json!(30),
        "model" => json!("gpt-4o-mini"),
        "oldest_due_seconds" => json!(0.4),
        "password" | "current_password" => json!("correct horse battery"),
        "new_password" => json!("staple battery horse"),
        "payload" => {
            json!({"kind": "count_likes", "v": 1, "data": {"project_id": "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d01"}})
        }
        "percent" | "progress_percent" | "roadmap_percent" => json!(33),
        "project_url" => json!("https://pottery.example"),
        "prompt" => json!("Build a page on a strict grid, with one typeface and generous white space."),
        "provider" => json!("api.openai.com"),
        "refresh_token" | "token" => json!("q2n4bT1mY7c8S0dKx5vHr9LwZe3uJp6gAfQoNiRtEyM"),
        "repository_url" => json!("https://git.example/pottery"),
        "resets_at" | "started_at" => json!(TIME),
        "slug" => json!("first-steps"),
        "stages_total" => json!(3),
        "summary" => json!("An empty file becomes a page."),
        "tags" => json!(["grid", "typography"]),
        "temperature" => json!(0.7),
        "text" => json!("Use a grid with `place-items: center`."),
        "title" => json!("Hello, HTML"),
        "url" => json!("https://elements.example"),
        _ => return of_library(name),
    })
}

/// As [`named`], for the libraries.
fn of_library(name: &str) -> Option<Value> {
    Some(match name {
        "AdminPrompt.body" | "NewPrompt.body" | "Prompt.body" | "PromptChanges.body" => {
            json!("Plan a page for my project. Ask me for whatever you need to know first.")
        }
        "AdminPrompt.description"
        | "NewPrompt.description"
        | "Prompt.description"
        | "PromptChanges.description"
        | "FavoritePrompt.summary"
        | "PromptSummary.summary" => json!("For when you have an idea and no plan yet."),
        "AdminPrompt.slug"
        | "AdminPromptSummary.slug"
        | "FavoritePrompt.slug"
        | "NewPrompt.slug"
        | "Prompt.slug"
        | "PromptChanges.slug"
        | "PromptSummary.slug" => json!("plan-a-page"),
        "AdminPrompt.tags"
        | "AdminPromptSummary.tags"
        | "FavoritePrompt.tags"
        | "NewPrompt.tags"
        | "Prompt.tags"
        | "PromptChanges.tags"
        | "PromptSummary.tags" => json!(["planning"]),
        "AdminPrompt.title"
        | "AdminPromptSummary.title"
        | "FavoritePrompt.title"
        | "NewPrompt.title"
        | "Prompt.title"
        | "PromptChanges.title"
        | "PromptSummary.title" => json!("Plan a page"),
        "AdminPromptCategory.name"
        | "NewPromptCategory.name"
        | "PromptCategory.name"
        | "PromptCategoryChanges.name" => {
            json!("First plans")
        }
        "AdminPromptCategory.slug"
        | "NewPromptCategory.slug"
        | "PromptCategory.slug"
        | "PromptCategoryChanges.slug" => {
            json!("first-plans")
        }
        "AdminTerm.category"
        | "NewTerm.category"
        | "Term.category"
        | "TermChanges.category"
        | "TermSummary.category" => {
            json!("css")
        }
        "AdminTerm.slug" | "NewTerm.slug" | "Term.slug" | "TermChanges.slug" | "TermSummary.slug" => json!("cascade"),
        "AdminTerm.tags" | "NewTerm.tags" | "Term.tags" | "TermChanges.tags" | "TermSummary.tags" => json!(["styles"]),
        "NewPromptStep.body" | "PromptStep.body" => json!("Now write the page that we planned."),
        "NewPromptStep.id" => Value::Null,
        "NewPromptStep.title" | "PromptStep.title" => json!("Build it"),
        "TermSummary.summary" | "definition" => json!("The rules that decide which of several styles applies."),
        "color" => json!("#64748b"),
        "term" => json!("Cascade"),
        _ => return None,
    })
}

const TIME: &str = "2026-03-02T09:30:00Z";

/// Adds an example to every object that has none.
pub(super) fn add(schemas: &mut Value) {
    let lacking = object(schemas).filter(|(_, schema)| schema["type"] == "object" && schema["example"].is_null());
    let examples: Vec<(String, Value)> =
        lacking.map(|(name, schema)| (name.clone(), Examples(schemas).of(name, schema))).collect();
    for (name, example) in examples {
        schemas[name]["example"] = example;
    }
}

struct Examples<'a>(&'a Value);

impl Examples<'_> {
    /// The example of the schema called `name`.
    fn of(&self, name: &str, schema: &Value) -> Value {
        if !schema["example"].is_null() {
            return schema["example"].clone();
        }
        if let Some(first) = schema["oneOf"].get(0) {
            return self.of_member("", "", first);
        }
        if schema["enum"].is_array() {
            return named(name).unwrap_or_else(|| schema["enum"][0].clone());
        }
        let mut example = Map::new();
        // The parts of a flattened object, whose members are those of the whole.
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let part_name = reference(part);
            let part = part_name.map_or(part, |name| &self.0[name]);
            if let Value::Object(members) = self.of(part_name.unwrap_or(name), part) {
                example.extend(members);
            }
        }
        let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (member, schema) in object(&schema["properties"]) {
            let value = self.of_member(name, member, schema);
            // A null shows nothing of a member that may be left out as well.
            if !value.is_null() || required.contains(&json!(member)) {
                example.insert(member.clone(), value);
            }
        }
        Value::Object(example)
    }

    fn of_member(&self, owner: &str, name: &str, schema: &Value) -> Value {
        if !schema["example"].is_null() {
            return schema["example"].clone();
        }
        if let Some(value) = named(&format!("{owner}.{name}")) {
            return value;
        }
        let referred = reference(schema).or_else(|| reference(&schema["allOf"][0]));
        if let Some(referred) = referred {
            return self.of(referred, &self.0[referred]);
        }
        if let Some(choice) = schema["enum"].get(0) {
            return choice.clone();
        }
        let is_id = schema["format"] == "uuid";
        match named(name) {
            Some(value) => value,
            None if schema["nullable"] == true => Value::Null,
            None if is_id => id(owner, name),
            None => self.of_type(owner, name, schema),
        }
    }

    fn of_type(&self, owner: &str, name: &str, schema: &Value) -> Value {
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("string"), Some("date-time")) => json!(TIME),
            (Some("string"), _) => json!("An example"),
            (Some("boolean"), _) => json!(false),
            (Some("integer" | "number"), _) => {
                let known =
                    [&schema["default"], &schema["minimum"]].into_iter().find(|value| value.as_f64() > Some(0.0));
                known.map_or(json!(1), whole)
            }
            (Some("array"), _) => json!([self.of_member(owner, name, &schema["items"])]),
            _ if schema["allOf"].is_array() => self.of(owner, schema),
            _ => json!({}),
        }
    }
}

/// A bound of a whole number, which the document writes with a decimal point.
fn whole(bound: &Value) -> Value {
    bound.as_f64().and_then(|bound| format!("{bound:.0}").parse::<i64>().ok()).map_or(json!(1), Value::from)
}

/// An id that is the same wherever the thing is named: as `id` of a lesson and as `lesson_id`.
fn id(owner: &str, name: &str) -> Value {
    let name = if name == "id" { format!("{}_id", owner.to_lowercase()) } else { name.to_owned() };
    let number = name.bytes().fold(0_u8, u8::wrapping_add);
    json!(format!("0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d{number:02x}"))
}

/// The name of the schema that is referred to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_made_from_members() {
        let mut schemas = json!({
            "Page": {"type": "object", "required": ["next_cursor"], "properties": {
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                "next_cursor": {"type": "string", "nullable": true},
            }},
            "Item": {"type": "object", "properties": {
                "id": {"type": "string", "format": "uuid"},
                "part": {"allOf": [{"$ref": "#/components/schemas/Part"}], "nullable": true},
                "made_at": {"type": "string", "format": "date-time"},
            }},
            "Part": {"type": "object", "properties": {
                "count": {"type": "integer", "minimum": 3},
                "end": {"type": "integer", "nullable": true},
            }},
            "Own": {"type": "object", "properties": {"count": {"type": "integer"}}, "example": {"count": 7}},
            "Either": {"type": "object", "oneOf": [{"$ref": "#/components/schemas/Tagged"}]},
            "Tagged": {"allOf": [
                {"type": "object", "required": ["type"], "properties": {"type": {"type": "string", "enum": ["part"]}}},
                {"$ref": "#/components/schemas/Part"},
            ]},
        });
        add(&mut schemas);
        let item = json!({"id": id("Item", "id"), "part": {"count": 3}, "made_at": TIME});
        assert_eq!(schemas["Item"]["example"], item);
        assert_eq!(schemas["Page"]["example"], json!({"items": [item], "next_cursor": null}));
        assert_eq!(schemas["Either"]["example"], json!({"type": "part", "count": 3}));
        assert_eq!(schemas["Own"]["example"], json!({"count": 7}));
        assert_eq!(id("Lesson", "id"), id("Other", "lesson_id"));
    }
}
