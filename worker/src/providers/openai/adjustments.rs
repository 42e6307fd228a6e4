//! How an endpoint and a model want to be asked, which is learnt from what they refuse.
//!
//! A refusal that names what it refuses is followed by a request without it. If that is accepted, the adjustment is
//! remembered for the endpoint and the model, in the database, so that all workers know it and the refusal costs one request,
//! once (or once for each worker, if several ask for the first time at the same moment). Nothing is guessed from names of hosts. `CAIRN_AI_ADJUSTMENTS` says what is known in advance, and what must not be
//! done.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_core::config::{Adjustment, AiAdjustment};
use cairn_core::db::Db;
use cairn_core::tools::adjustments;
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::refusal::Refusal;

/// How long those who ask a model wait for the first of them.
const MAX_TURN: Duration = Duration::from_secs(2);

/// How a model is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Adjustments(BTreeSet<Adjustment>);

impl Adjustments {
    pub(super) fn has(&self, adjustment: Adjustment) -> bool {
        self.0.contains(&adjustment)
    }

    /// Returns whether it is new.
    pub(super) fn add(&mut self, adjustment: Adjustment) -> bool {
        self.0.insert(adjustment)
    }
}

impl FromIterator<Adjustment> for Adjustments {
    fn from_iter<I: IntoIterator<Item = Adjustment>>(adjustments: I) -> Self {
        Self(adjustments.into_iter().collect())
    }
}

/// What is known about the models of an endpoint.
pub(super) struct Memory {
    endpoint: String,
    configured: Vec<AiAdjustment>,
    learnt: Mutex<HashMap<String, BTreeSet<Adjustment>>>,
    turns: Mutex<HashMap<String, Arc<AsyncMutex<IsKnown>>>>,
}

/// Whether a request to a model was accepted, so that nothing is left to be learnt.
type IsKnown = bool;

/// Whoever holds it asks a model first.
pub(super) struct Turn(OwnedMutexGuard<IsKnown>);

impl Turn {
    /// The model has accepted a request.
    pub(super) fn accepted(mut self) {
        *self.0 = true;
    }
}

impl Memory {
    pub(super) fn new(endpoint: String, configured: Vec<AiAdjustment>) -> Self {
        Self { endpoint, configured, learnt: Mutex::default(), turns: Mutex::default() }
    }

    /// Until a model has accepted a request of this process, those who ask it wait for the first of them, so that each refusal is met
    /// once. They do not wait long, because the first may be waiting for a slow answer.
    pub(super) async fn turn(&self, model: &str) -> Option<Turn> {
        let turn =
            Arc::clone(self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(model.to_owned()).or_default());
        let is_known = tokio::time::timeout(MAX_TURN, turn.lock_owned()).await.ok()?;
        (!*is_known).then_some(Turn(is_known))
    }

    /// How a model is asked, as far as it is known. Without a database, only this process knows it.
    pub(super) async fn recall(&self, db: Option<&Db>, model: &str) -> Adjustments {
        if let Some(db) = db {
            match recall(db, &self.endpoint, model).await {
                Ok(stored) => {
                    self.learnt.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), stored);
                }
                Err(error) => tracing::warn!(%error, "what is known about the AI provider could not be read"),
            }
        }
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned().unwrap_or_default();
        let configured = self.rules(model).filter(|rule| !rule.is_forbidden).map(|rule| rule.adjustment);
        learnt.into_iter().chain(configured).filter(|adjustment| self.allows(model, *adjustment)).collect()
    }

    /// Whether an adjustment may be made.
    pub(super) fn allows(&self, model: &str, adjustment: Adjustment) -> bool {
        !self.rules(model).any(|rule| rule.is_forbidden && rule.adjustment == adjustment)
    }

    fn rules(&self, model: &str) -> impl Iterator<Item = &AiAdjustment> {
        self.configured.iter().filter(move |rule| rule.model.as_deref().is_none_or(|name| name == model))
    }

    /// Remembers that adjustments were accepted.
    pub(super) async fn learn(&self, db: Option<&Db>, model: &str, accepted: &[Adjustment]) {
        let accepted: Vec<Adjustment> =
            accepted.iter().copied().filter(|adjustment| self.allows(model, *adjustment)).collect();
        if accepted.is_empty() {
            return;
        }
        tracing::info!(ai.model = model, ?accepted, "the AI provider is asked differently from now on");
        self.learnt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(model.to_owned())
            .or_default()
            .extend(&accepted);
        if let Some(db) = db
            && let Err(error) = learn(db, &self.endpoint, model, &accepted).await
        {
            tracing::warn!(%error, "what was learnt about the AI provider could not be stored");
        }
    }
}

async fn recall(db: &Db, endpoint: &str, model: &str) -> cairn_core::Result<BTreeSet<Adjustment>> {
    let mut connection = db.acquire().await?;
    Ok(adjustments::learnt(&mut connection, endpoint, model).await?.into_iter().collect())
}

async fn learn(db: &Db, endpoint: &str, model: &str, accepted: &[Adjustment]) -> cairn_core::Result<()> {
    let mut connection = db.acquire().await?;
    adjustments::learn(&mut connection, endpoint, model, accepted).await
}

/// How things are refused because they are not known or not offered, as opposed to a value that is out of range.
const UNSUPPORTED: [&str; 18] = [
    "unsupported",
    "not supported",
    "not support",
    "unknown",
    "unrecognized",
    "unexpected",
    "extra inputs",
    "extra_forbidden",
    "extra parameters",
    "extra fields",
    "not allowed",
    "not permitted",
    "not accepted",
    "only the default",
    "must be verified",
    "not enabled",
    "deprecated",
    "instead",
];

/// How templates and providers refuse the system role.
const NO_SYSTEM_ROLE: [&str; 17] = [
    "message role: system",
    "support the system role",
    "should be user or assistant",
    "must start with a user message",
    "system role not supported",
    "system role is not supported",
    "system role isn't supported",
    "system message is not supported",
    "system messages are not supported",
    "system prompt is not supported",
    "does not support system",
    "doesn't support system",
    "developer instruction is not enabled",
    "roles must alternate",
    "only user and assistant roles",
    "unexpected role",
    "role system",
];

/// How a temperature is refused that the model does not let anybody choose.
const FIXED_TEMPERATURE: [&str; 4] = ["is allowed for", "may only be set to", "must be 1 ", "only temperature"];

/// How streaming is refused, as opposed to a stream that has failed.
const NO_STREAMING: [&str; 7] = [
    "support stream",
    "stream this model",
    "streaming is not",
    "streaming not",
    "stream is not",
    "stream does not support",
    "stream=true",
];

/// Which field a refusal names as the one that it is about, if that was sent.
fn named(refusal: &Refusal, sent: &Value) -> Option<String> {
    let was_sent = |name: &&str| !name.is_empty() && !sent[*name].is_null();
    let error = &refusal.details.value;
    let param = [&error["error"]["param"], &error["param"]].into_iter().find_map(Value::as_str);
    let detail = if error["detail"].is_array() { &error["detail"] } else { &error["message"]["detail"] };
    let place = detail[0]["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).find(was_sent);
    let quoted = refusal.details.words.split_once("parameter: '").and_then(|(_, rest)| rest.split('\'').next());
    param.filter(was_sent).or(place).or(quoted.filter(was_sent)).map(str::to_owned)
}

/// Whether a text has a name between quotation marks.
fn quotes(text: &str, name: &str) -> bool {
    ['\'', '"', '`'].iter().any(|mark| text.contains(&format!("{mark}{name}{mark}")))
}

/// What to do differently after a refusal, if it says so.
pub(super) fn from_refusal(refusal: &Refusal, sent: &Value) -> Option<Adjustment> {
    if !matches!(refusal.status, 400 | 403 | 404 | 415 | 422 | 500 | 501) {
        return None;
    }
    let said = &refusal.details.words;
    let field = named(refusal, sent);
    let says = |words: &str| said.contains(words);
    // A refusal of one field may list all the others.
    let names = |name: &str| field.as_deref().map_or_else(|| says(name), |field| field == name);
    let is_unsupported = UNSUPPORTED.iter().any(|wording| said.contains(wording));
    let has = |field: &str| !sent[field].is_null();
    let first_role = sent["messages"][0]["role"].as_str();
    let is_about = |name: &str| has(name) && names(name);
    let of_the_moment = refusal.status == 500;
    if !of_the_moment && has("stream_options") && (names("stream_options") || says("include_usage")) {
        return Some(Adjustment::NoStreamOptions);
    }
    let unquoted = said.replace(['\'', '"', '`'], "");
    if (first_role == Some("system") || has("instructions"))
        && NO_SYSTEM_ROLE.iter().any(|wording| unquoted.contains(wording))
    {
        return Some(if unquoted.contains("use developer") {
            Adjustment::DeveloperRole
        } else {
            Adjustment::NoSystemRole
        });
    }
    // Templates fail with 500 where the role is concerned. Otherwise that is an error of the moment, whatever it says.
    if of_the_moment {
        return None;
    }
    // vLLM keeps no answers unless it is told to, and says so with 501.
    if has("background") && (is_unsupported || says("must be set to false")) && (names("background") || says("store")) {
        return Some(Adjustment::NoBackground);
    }
    // Some endpoints keep what learners write unless `store` forbids it, so the refusal must be about this field.
    let is_store = field.as_deref().map_or_else(|| quotes(said, "store"), |field| field == "store");
    if has("store") && is_unsupported && is_store {
        return Some(Adjustment::NoStore);
    }
    // Moonshot and Claude.
    if is_about("temperature") && (is_unsupported || FIXED_TEMPERATURE.iter().any(|wording| says(wording))) {
        return Some(Adjustment::NoTemperature);
    }
    if !is_unsupported {
        return None;
    }
    if (first_role == Some("developer") && says("developer")) || is_about("instructions") {
        return Some(Adjustment::NoSystemRole);
    }
    if has("max_tokens") && (names("max_tokens") || (field.is_none() && says("max_completion_tokens"))) {
        return Some(Adjustment::MaxCompletionTokens);
    }
    if is_about("max_completion_tokens") || is_about("max_output_tokens") {
        return Some(Adjustment::NoTokenLimit);
    }
    let is_about_streaming = match field.as_deref() {
        Some(field) => field == "stream",
        None => NO_STREAMING.iter().any(|wording| unquoted.contains(wording)),
    };
    if has("stream") && is_about_streaming {
        return Some(Adjustment::NoStreaming);
    }
    None
}

#[cfg(test)]
mod tests {
    use cairn_core::tools::Reason;
    use serde_json::json;

    use super::super::super::answer::Failure;
    use super::super::details::ErrorDetails;
    use super::*;

    fn sent() -> Value {
        json!({
            "model": "m", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}],
            "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 100, "temperature": 0.7,
        })
    }

    fn learn(status: u16, body: Value, sent: &Value) -> Option<Adjustment> {
        let details = ErrorDetails::of(body);
        from_refusal(&Refusal { status, details, failure: Failure::new(Reason::BadRequest, "") }, sent)
    }

    #[test]
    fn refusals_say_what_to_do_differently() {
        let message = |text: &str| json!({"error": {"message": text, "type": "invalid_request_error"}});
        let cases = [
            // Mistral (openai/openai-agents-python#442), Azure AI (CherryHQ/cherry-studio#9214), new-api (#418), Fireworks
            // (FlowiseAI/Flowise#2866).
            (
                422,
                json!({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options", "include_usage"], "msg": "Extra inputs are not permitted", "input": true}]}}),
                Adjustment::NoStreamOptions,
            ),
            (
                400,
                json!({"detail": "Extra parameters ['stream_options'] are not allowed when extra-parameters is not set"}),
                Adjustment::NoStreamOptions,
            ),
            (400, message("Unknown parameter: 'stream_options'."), Adjustment::NoStreamOptions),
            (400, message("Extra inputs are not permitted, field: 'stream_options'"), Adjustment::NoStreamOptions),
            // Gemma in vLLM, TGI, LM Studio; Gemma in Google AI Studio; Mistral 7B; o1-preview.
            (400, message("System role not supported"), Adjustment::NoSystemRole),
            (
                400,
                message("Conversation roles must alternate user/assistant/user/assistant/..."),
                Adjustment::NoSystemRole,
            ),
            (400, message("Developer instruction is not enabled for models/gemma-3-27b-it"), Adjustment::NoSystemRole),
            (500, message("Jinja error: Only user and assistant roles are supported!"), Adjustment::NoSystemRole),
            (
                400,
                message("Unsupported value: 'messages[0].role' does not support 'system' with this model."),
                Adjustment::NoSystemRole,
            ),
            // OpenAI's models that think, also through Azure.
            (
                400,
                json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}}),
                Adjustment::MaxCompletionTokens,
            ),
            (
                400,
                message(
                    "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
                ),
                Adjustment::NoTemperature,
            ),
            (400, message("temperature is not supported with thinking models"), Adjustment::NoTemperature),
            (
                400,
                json!({"error": {"message": "Your organization must be verified to stream this model.", "param": "stream", "code": "unsupported_value"}}),
                Adjustment::NoStreaming,
            ),
            (
                400,
                message("Unsupported value: 'stream' does not support true with this model."),
                Adjustment::NoStreaming,
            ),
            (501, message("Streaming is not supported by this backend"), Adjustment::NoStreaming),
            (
                400,
                message("Unsupported value: role 'system' is not supported with this model. Use 'developer' instead."),
                Adjustment::DeveloperRole,
            ),
        ];
        for (status, body, expected) in cases {
            assert_eq!(learn(status, body.clone(), &sent()), Some(expected), "{body}");
        }
    }

    #[test]
    fn refusals_in_other_words_say_what_to_do_differently() {
        let message = |text: &str| json!({"error": {"message": text, "type": "invalid_request_error"}});
        let cases = [
            // MiniMax (temm1e-labs/temm1e#59), and servers that name the roles they know.
            (
                400,
                message("invalid params, chat content has invalid message role: system (2013)"),
                Adjustment::NoSystemRole,
            ),
            (
                422,
                json!({"detail": [{"type": "literal_error", "loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'", "input": "system"}]}),
                Adjustment::NoSystemRole,
            ),
            (400, message("This model doesn't support the `system` role"), Adjustment::NoSystemRole),
            // Moonshot (MoonshotAI/Kimi-K2#124) and Claude (BerriAI/litellm#9524).
            (400, message("invalid temperature: only 1 is allowed for this model"), Adjustment::NoTemperature),
            (400, message("`temperature` may only be set to 1 when thinking is enabled."), Adjustment::NoTemperature),
            // Whatever else is listed.
            (
                400,
                message("Unsupported parameter: 'temperature'. Supported parameters: max_tokens, messages, stream"),
                Adjustment::NoTemperature,
            ),
            (
                400,
                json!({"error": {"message": "Unsupported value", "param": "stream", "code": "unsupported_value"}}),
                Adjustment::NoStreaming,
            ),
            (
                422,
                json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream"], "msg": "Extra inputs are not permitted"}]}),
                Adjustment::NoStreaming,
            ),
            (400, message("This model does not support stream."), Adjustment::NoStreaming),
        ];
        for (status, body, expected) in cases {
            assert_eq!(learn(status, body.clone(), &sent()), Some(expected), "{body}");
        }
    }

    #[test]
    fn refusals_of_other_requests_say_what_to_do_differently() {
        let message = |text: &str| json!({"error": {"message": text, "type": "invalid_request_error"}});
        let mut newer = sent();
        newer["max_completion_tokens"] = json!(100);
        newer.as_object_mut().unwrap().remove("max_tokens");
        assert_eq!(
            learn(400, message("Unknown parameter: 'max_completion_tokens'"), &newer),
            Some(Adjustment::NoTokenLimit)
        );
        let response =
            json!({"model": "m", "background": true, "store": true, "max_output_tokens": 9, "instructions": "x"});
        for (text, expected) in [
            ("Unsupported parameter: 'background' is not supported with this model.", Adjustment::NoBackground),
            ("Unknown parameter: 'store'.", Adjustment::NoBackground),
            ("Unsupported parameter: 'max_output_tokens' is not supported.", Adjustment::NoTokenLimit),
            ("System messages are not supported", Adjustment::NoSystemRole),
            ("Unsupported parameter: 'instructions'", Adjustment::NoSystemRole),
            ("Store must be set to false", Adjustment::NoBackground),
        ] {
            assert_eq!(learn(400, message(text), &response), Some(expected), "{text}");
        }
    }

    /// vLLM (vllm-project/vllm#22137).
    #[test]
    fn an_endpoint_that_keeps_no_answers_is_not_asked_to() {
        let sent = json!({"model": "m", "background": true, "store": true});
        let body = json!({"error": {"message": "`store=True` (default) is not supported. Please set `store=False` in Responses API"}});
        assert_eq!(learn(501, body, &sent), Some(Adjustment::NoBackground));
    }

    #[test]
    fn store_is_left_out_for_an_endpoint_that_refuses_it() {
        let sent = json!({"model": "m", "store": false});
        for body in [
            json!({"error": {"message": "Unknown parameter: 'store'.", "param": "store", "code": "unknown_parameter"}}),
            json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted"}]}),
        ] {
            assert_eq!(learn(400, body.clone(), &sent), Some(Adjustment::NoStore), "{body}");
        }
        let body = json!({"error": {"message": "Unexpected error in the vector store"}});
        assert_eq!(learn(400, body, &sent), None);
    }

    #[test]
    fn other_refusals_teach_nothing() {
        let message = |text: &str| json!({"error": {"message": text}});
        for (status, body) in [
            (400, message("temperature: range: 0..1")),
            (400, message("max_tokens is too large: 32000. This model supports at most 16384 completion tokens")),
            (400, message("The request was not understood.")),
            (401, message("Unsupported parameter: 'temperature'")),
            (429, message("stream_options")),
            // Of the moment, whatever it says.
            (500, message("Unexpected error while streaming: stream_options")),
            (500, message("An unexpected error with 'stream' occurred")),
            (400, message("Unexpected error in stream processing: the stream was closed")),
            (
                400,
                json!({"detail": [{"loc": ["body", "messages"], "msg": "unexpected", "input": "system role not supported"}]}),
            ),
        ] {
            assert_eq!(learn(status, body.clone(), &sent()), None, "{body}");
        }
        // Nothing that was not sent can be left out.
        let bare = json!({"model": "m", "messages": [{"role": "user", "content": "y"}]});
        for text in ["Unknown parameter: 'stream_options'", "System role not supported", "temperature is not supported"]
        {
            assert_eq!(learn(400, message(text), &bare), None, "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_configured_goes_before_what_is_learnt() {
        use Adjustment::{NoStreamOptions, NoStreaming, NoSystemRole, NoTemperature};
        let rule = |model: Option<&str>, adjustment, is_forbidden| AiAdjustment {
            model: model.map(str::to_owned),
            adjustment,
            is_forbidden,
        };
        let memory = Memory::new(
            "https://h/v1".into(),
            vec![
                rule(None, Adjustment::NoStreamOptions, false),
                rule(Some("a"), Adjustment::NoTemperature, false),
                rule(Some("a"), Adjustment::NoStreaming, true),
            ],
        );
        memory.learn(None, "a", &[Adjustment::NoStreaming, Adjustment::NoSystemRole]).await;
        memory.learn(None, "b", &[Adjustment::NoStreaming]).await;
        assert_eq!(
            memory.recall(None, "a").await,
            [NoStreamOptions, NoTemperature, NoSystemRole].into_iter().collect()
        );
        assert_eq!(memory.recall(None, "b").await, [NoStreamOptions, NoStreaming].into_iter().collect());
        assert_eq!(memory.recall(None, "c").await, [NoStreamOptions].into_iter().collect());
    }
}
