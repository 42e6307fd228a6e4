//! What providers say, and what it means. The bodies are written after public reports and documentation, which the comments
//! name.

use serde_json::json;

use super::*;

#[track_caller]
fn check(status: u16, body: &Value, expected: Reason) {
    let details = ErrorDetails::of(body.clone());
    let hints = Hints::within_answer(&details, Clock::default().now());
    assert_eq!(reason(status, hints.said.is_some(), &details.words), expected, "{status} {body}");
}

fn message(text: &str) -> Value {
    json!({"error": {"message": text, "type": "invalid_request_error", "param": null, "code": null}})
}

#[test]
fn a_question_that_is_too_long_is_recognized_in_every_wording() {
    for (status, text) in [
        // OpenAI and Azure, before and after the Responses API.
        (
            400,
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce the length of the messages.",
        ),
        (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
        (400, "Invalid 'messages[1].content': string too long. Expected a string with maximum length 1048576."),
        (
            429,
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 38413. The input or output tokens must be reduced in order to run successfully.",
        ),
        // vLLM (vllm-project/vllm#12165, #20409, #36197).
        (
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4488 in the messages, 512 in the completion).",
        ),
        (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
        (
            400,
            "The prompt (total length 25938) is too long to fit into the model (context length 4096). Make sure that `max_model_len` is no smaller",
        ),
        // Ollama and llama.cpp's server.
        (400, "the request exceeds the available context size, try increasing it"),
        (
            500,
            "the request exceeds the available context size. try increasing the context size or enable context shift",
        ),
        (400, "input length exceeds maximum context length"),
        // llama.cpp's server, for embeddings (ggml-org/llama.cpp#11105).
        (500, "input (992 tokens) is too large to process. increase the physical batch size (current batch size: 512)"),
        // LM Studio.
        (
            400,
            "The number of tokens to keep from the initial prompt is greater than the context length. Try to load the model with a larger context length",
        ),
        (
            400,
            "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
        ),
        // OpenRouter (refly-ai/refly#1177).
        (
            400,
            "This endpoint's maximum context length is 32768 tokens. However, you requested about 42832 tokens. Please reduce the length of either one, or use the \"middle-out\" transform",
        ),
        // Mistral.
        (400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
        // Gemini and Vertex.
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        (400, "Unable to submit request because the input token count is 40000 but model only supports up to 32768."),
        // Anthropic and Bedrock (strands-agents/harness-sdk#1663, anthropics/claude-code#760).
        (400, "prompt is too long: 903884 tokens > 200000 maximum"),
        (
            400,
            "input length and `max_tokens` exceed context limit: 174167 + 64000 > 200000, decrease input length or `max_tokens` and try again",
        ),
        (400, "Input is too long for requested model."),
        (400, "Too many input tokens. Max input tokens: 8192, request input token count: 9000"),
        // LiteLLM.
        (
            400,
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException",
        ),
        // Groq, GitHub Models.
        (
            413,
            "Request too large for model `llama-3.1-8b-instant` on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your message size and try again.",
        ),
        (413, "Request body too large for gpt-4o model. Max size: 8000 tokens."),
        // xAI, Cohere, Moonshot, Together.
        (400, "This model's maximum prompt length is 131072 but the request contains 200000 tokens."),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000."),
        (400, "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"),
        (
            422,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 200 `max_new_tokens`",
        ),
        (422, "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000"),
        // DashScope, Zhipu, Baidu.
        (400, "Range of input length should be [1, 30720]"),
        (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]"),
        (400, "Prompt 超长"),
        (400, "输入长度超过模型上下文长度"),
    ] {
        check(status, &message(text), Reason::ContextTooLong);
    }
    check(400, &json!({"error": {"code": "context_length_exceeded", "message": "x"}}), Reason::ContextTooLong);
    check(
        400,
        &json!({"error": {"code": 400, "message": "too large", "type": "exceed_context_size_error"}}),
        Reason::ContextTooLong,
    );
    check(413, &json!({}), Reason::ContextTooLong);
}

#[test]
fn other_limits_are_not_the_learners() {
    for (status, text, expected) in [
        (
            400,
            "max_tokens is too large: 32000. This model supports at most 16384 completion tokens",
            Reason::BadRequest,
        ),
        (400, "max_tokens must be at least 1", Reason::BadRequest),
        (400, "temperature: range: 0..1", Reason::BadRequest),
        (503, "This model's maximum context length is unknown, because the server is starting", Reason::ProviderError),
        (429, "Rate limit reached: tokens per min, see maximum context length", Reason::RateLimited),
    ] {
        check(status, &message(text), expected);
    }
}

#[test]
fn a_quota_that_says_when_to_ask_again_is_a_limit_on_the_rate() {
    let gemini = "You exceeded your current quota, please check your plan and billing details.";
    check(429, &message(gemini), Reason::ProviderQuota);
    check(429, &message(&format!("{gemini} Please retry in 36.2s.")), Reason::RateLimited);
    let retry_info = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"}]);
    check(429, &json!([{"error": {"code": 429, "message": gemini, "details": retry_info}}]), Reason::RateLimited);
    assert_eq!(reason(429, true, "insufficient_quota"), Reason::RateLimited, "with Retry-After");
    assert_eq!(reason(402, true, "payment required"), Reason::RateLimited);
}

#[test]
fn a_quota_that_is_used_up_is_recognized_in_every_wording() {
    for (status, text) in [
        (429, "You exceeded your current quota, please check your plan and billing details."),
        (402, "Insufficient Balance"),                                           // DeepSeek
        (402, "This request requires more credits, or fewer max_tokens."),       // OpenRouter
        (400, "Your credit balance is too low to access the Anthropic API."),    // Anthropic
        (400, "Budget has been exceeded! Current cost: 12.0, Max budget: 10.0"), // LiteLLM
        (403, "Your team has either used all available credits or reached its monthly spending limit."), // xAI
        (429, "Your account is not active, please check your billing details on our website."),
        (400, "Access denied, please make sure your account is in good standing."), // DashScope
        (429, "余额不足或无可用资源包,请充值。"),                                   // Zhipu
        (403, "You have depleted your monthly included credits."),                  // Hugging Face
    ] {
        check(status, &message(text), Reason::ProviderQuota);
    }
    check(429, &json!({"error": {"code": "insufficient_quota", "message": "x"}}), Reason::ProviderQuota);
}

#[test]
fn models_keys_and_content_are_recognized_in_every_wording() {
    for (status, text, expected) in [
        (404, "The model `x` does not exist or you do not have access to it.", Reason::ModelNotFound),
        (400, "x is not a valid model ID", Reason::ModelNotFound), // OpenRouter
        (404, "No endpoints found for x.", Reason::ModelNotFound), // OpenRouter
        (400, "Model Not Exist", Reason::ModelNotFound),           // DeepSeek
        (404, "model \"x\" not found, try pulling it first", Reason::ModelNotFound), // Ollama
        (400, "The model `x` has been decommissioned and is no longer supported.", Reason::ModelNotFound), // Groq
        (404, "models/x is not found for API version v1main", Reason::ModelNotFound), // Gemini
        (400, "Invalid model: x", Reason::ModelNotFound),          // Mistral
        (404, "No models loaded. Please load a model in the developer page.", Reason::ModelNotFound), // LM Studio
        (404, "", Reason::ModelNotFound),
        (405, "Method Not Allowed", Reason::ModelNotFound),
        (401, "Incorrect API key provided: sk-x", Reason::Unauthorized),
        (400, "API key not valid. Please pass a valid API key.", Reason::Unauthorized), // Gemini
        (400, "Incorrect API key provided: xa***. You can obtain an API key from the console.", Reason::Unauthorized), // xAI
        (401, "No auth credentials found", Reason::Unauthorized), // OpenRouter
        (400, "Authentication Error, Invalid proxy server token passed.", Reason::Unauthorized), // LiteLLM
        (401, "Access denied due to invalid subscription key or wrong API endpoint.", Reason::Unauthorized), // Azure
        (403, "No access", Reason::Unauthorized),
        (403, "Your organization must be verified to use the model `o3`.", Reason::Unauthorized),
        (
            400,
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            Reason::ContentFilter,
        ),
        (400, "Your request was rejected as a result of our safety system.", Reason::ContentFilter),
        (403, "Your chosen model requires moderation and your input was flagged", Reason::ContentFilter),
        (400, "Content Exists Risk", Reason::ContentFilter), // DeepSeek
        (400, "Input data may contain inappropriate content.", Reason::ContentFilter), // DashScope
        (
            400,
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            Reason::ContentFilter,
        ),
        (400, "系统检测到输入或生成内容可能包含不安全或敏感内容。", Reason::ContentFilter), // Zhipu
    ] {
        check(status, &message(text), expected);
    }
    // Azure.
    check(
        400,
        &json!({"error": {"message": "x", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        Reason::ContentFilter,
    );
    check(
        404,
        &json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
        Reason::ModelNotFound,
    );
}

#[test]
fn what_may_work_later_is_recognized() {
    for (status, text, expected) in [
        (500, "The server had an error", Reason::ProviderError),
        (503, "Loading model", Reason::ProviderError),
        (529, "overloaded", Reason::ProviderError),
        (408, "", Reason::ProviderError),
        (424, "Upstream error: the server is busy", Reason::ProviderError),
        (429, "Too many requests", Reason::RateLimited),
        (498, "Flex tier capacity exceeded", Reason::RateLimited),
        (307, "", Reason::BadRequest),
    ] {
        check(status, &json!({"error": {"message": text}}), expected);
    }
}

#[test]
fn an_error_inside_an_answer_is_found_and_understood() {
    let found = |body: Value| Refusal::find(&body).map(|refusal| refusal.failure.reason);
    for (body, expected) in [
        (json!({"choices": [{"delta": {"content": "x"}}]}), None),
        (json!({"error": null, "choices": []}), None),
        (
            json!({"error": {"code": 502, "message": "x"}, "choices": [{"finish_reason": "error"}]}),
            Some(Reason::ProviderError),
        ),
        (json!({"error": {"code": 429, "message": "x"}}), Some(Reason::RateLimited)),
        (json!({"error": {"type": "invalid_request_error", "message": "x"}}), Some(Reason::BadRequest)),
        (json!({"error": {"type": "rate_limit_error", "message": "x"}}), Some(Reason::RateLimited)),
        (json!({"object": "error", "message": "x", "code": 400}), Some(Reason::BadRequest)),
        (json!({"error": "something"}), Some(Reason::ProviderError)),
        (json!([{"error": {"code": 401, "message": "x"}}]), Some(Reason::Unauthorized)),
        (
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            Some(Reason::ProviderError),
        ),
        (json!({"error": {"message": "This model's maximum context length is 10"}}), Some(Reason::ContextTooLong)),
        (
            json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            Some(Reason::ProviderQuota),
        ),
        (
            json!({"error": {"code": "1302", "message": "rate limit, please retry after 5 seconds"}}),
            Some(Reason::RateLimited),
        ),
        (json!({"error": {"code": "context_length_exceeded", "message": "x"}}), Some(Reason::ContextTooLong)),
        (
            json!({"error": {"message": "The engine is currently overloaded", "type": "invalid_request_error"}}),
            Some(Reason::ProviderError),
        ),
    ] {
        assert_eq!(found(body.clone()), expected, "{body}");
    }
    let waits = Refusal::find(&json!({"error": {"message": "Rate limit reached. Please try again in 20s."}})).unwrap();
    assert_eq!(waits.failure.after, Some(std::time::Duration::from_secs(20)));
}

#[test]
fn messages_are_bounded_and_contain_no_key() {
    let message = format!("HTTP 401: key own {} {}", "sk-12345678", "x".repeat(10_000));
    let detail = detail(&message, Some(&Secret::new("own")));
    assert!(detail.starts_with("HTTP 401: key [redacted] [redacted] x") && detail.len() < 400, "{detail}");
}

/// A message within an answer is cut before the key is removed, so what is kept of it ends before that cut.
#[test]
fn a_key_at_the_end_of_a_long_message_is_not_cut_in_two() {
    let key = Secret::new("an own key without a form of its own");
    for at in [280, 290, 299, 1980, 1999] {
        let message = format!("{}{} and more {}", "x".repeat(at), key.expose(), "y".repeat(5000));
        let detail = detail(&within(&message), Some(&key));
        assert!(!detail.contains("an own"), "{at}: {detail}");
    }
}

/// Words that have another meaning elsewhere, and statuses that few use. Most are from public reports.
#[test]
fn what_passes_what_never_fits_and_what_is_forbidden_are_told_apart() {
    for (status, text, expected) in [
        // Bedrock (anomalyco/opencode#39621): a limit on the rate, in words for a question that is too long.
        (
            500,
            "An error occurred (ThrottlingException): Too many tokens, please wait before trying again.",
            Reason::RateLimited,
        ),
        (
            400,
            "An error occurred (ThrottlingException): Too many tokens, please wait before trying again.",
            Reason::RateLimited,
        ),
        // DashScope (can1357/oh-my-pi#8496) and others speak of billing where they mean a minute.
        (
            429,
            "You exceeded your current quota, please check your plan and billing details. See error-code#token-limit",
            Reason::RateLimited,
        ),
        (429, "Rate limit reached for m. You can increase it by adding a payment method.", Reason::RateLimited),
        // Gemini (Gitlawb/openclaude#249): nothing is granted, so waiting has no use.
        (429, "Quota exceeded, limit: 0, model: gemini-2.5-pro. Please retry in 36.2s.", Reason::ProviderQuota),
        (
            429,
            "Request too large on tokens per minute: must be reduced in order to run. Please retry in 5s.",
            Reason::ContextTooLong,
        ),
        // xAI (UKGovernmentBEIS/inspect_ai#2267) and OpenAI (microsoft/PyRIT#1463).
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", Reason::ContentFilter),
        (400, "Invalid prompt: we've limited access to this content for safety reasons.", Reason::ContentFilter),
        // GitHub; Gemini (google-gemini/gemini-cli#20309); TGI (huggingface/text-generation-inference#1510).
        (403, "You have exceeded a secondary rate limit", Reason::RateLimited),
        (403, "Forbidden", Reason::Unauthorized),
        (499, "The operation was cancelled.", Reason::ProviderError),
        (424, "Request failed during generation", Reason::ProviderError),
    ] {
        check(status, &message(text), expected);
    }
    let login = json!({"base_resp": {"status_code": 1004, "status_msg": "login fail: please carry the API key"}, "choices": null});
    assert_eq!(Refusal::find(&login).map(|refusal| refusal.failure.reason), Some(Reason::Unauthorized));
    let invalid = json!({"error": {"code": "invalid_prompt", "message": "limited"}});
    assert_eq!(Refusal::find(&invalid).map(|refusal| refusal.failure.reason), Some(Reason::ContentFilter));
}
