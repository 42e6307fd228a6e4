//! Answers as servers really send them. The bodies are written after public reports and documentation, which the comments name.

use super::super::chat::Chat;
use super::super::responses::Responses;
use super::*;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    text: String,
    thoughts: String,
    tokens: Tokens,
    /// Whether the answer was cut, or why there is none.
    end: Result<bool, Reason>,
    detail: String,
}

fn read_as(dialect: &dyn Dialect, body: &[u8], size: usize) -> Read {
    let (mut reading, mut pieces) = (Reading::new(dialect, false), Vec::new());
    let mut pushed = Ok(false);
    for chunk in body.chunks(size) {
        pushed = reading.push(chunk, &mut pieces);
        if !matches!(pushed, Ok(false)) {
            break;
        }
    }
    let ended = match pushed {
        Ok(_) => reading.finish(&mut pieces),
        Err(failure) => Err(failure),
    };
    let (mut text, mut thoughts, mut tokens) = (String::new(), String::new(), Tokens::default());
    for piece in pieces {
        match piece {
            Piece::Text(more) => text += &more,
            Piece::Thoughts(more) => thoughts += &more,
            Piece::Used(more) => tokens.update(more),
            _ => {}
        }
    }
    let detail = ended.as_ref().err().map(|failure| failure.detail.clone()).unwrap_or_default();
    Read { text, thoughts, tokens, end: ended.map(|ended| ended.is_cut).map_err(|failure| failure.reason), detail }
}

/// Reads a body, which must not depend on how it is split.
#[track_caller]
fn read(body: &str) -> Read {
    let chat = Chat { base_url: String::new() };
    let read = read_as(&chat, body.as_bytes(), body.len().max(1));
    for size in [1, 2, 3, 5, 16, 61] {
        assert_eq!(read_as(&chat, body.as_bytes(), size), read, "in pieces of {size}: {body}");
    }
    read
}

#[track_caller]
fn complete(body: &str, text: &str) {
    let read = read(body);
    assert_eq!((read.text.as_str(), read.end), (text, Ok(false)), "{body}\n{}", read.detail);
}

/// A failure, with the text that is kept and a part of what operators are told.
#[track_caller]
fn fails(body: &str, reason: Reason, text: &str, says: &str) {
    let read = read(body);
    assert_eq!((read.end, read.text.as_str()), (Err(reason), text), "{body}\n{}", read.detail);
    assert!(read.detail.contains(says), "{body}\n{}", read.detail);
}

const HI: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn finish(reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":{reason}}}]}}\n\n")
}

#[test]
fn streams_of_every_shape_are_read() {
    for body in [
        format!("{HI}{STOP}{DONE}"),
        format!("{HI}{STOP}{DONE}{DONE}"),
        format!("{HI}{STOP}"),                                            // without an end marker
        format!("{HI}{STOP}").trim_end().to_owned(),                      // without the last blank line
        format!("{HI}{STOP}data: [DONE]"),
        format!("{HI}{STOP}{DONE}").replace("data: ", "data:"),
        format!("{HI}{STOP}{DONE}").replace('\n', "\r\n"),
        format!("{HI}{STOP}{DONE}").replace('\n', "\r"),
        format!("\u{feff}{HI}{STOP}{DONE}"),
        format!(": OPENROUTER PROCESSING\n\n\n\n{HI}: ping\n\n{STOP}{DONE}"),
        format!("event: ping\ndata: {{\"type\":\"ping\"}}\n\nevent: message\nid: 1\nretry: 3\n{HI}{STOP}{DONE}"),
        format!("{HI}{STOP}{DONE}").replace("}\n\ndata", "}\ndata"),      // without blank lines in between
        format!("{HI}{STOP}").replace("data: ", "").replace("\n\n", "\n"), // a JSON object in each line
        format!("data: {{\"choices\":[],\"prompt_filter_results\":[{{\"prompt_index\":0}}]}}\n\n{HI}{STOP}{DONE}"), // Azure
        format!("data: {{\"choices\":[{{\"delta\":{{\"role\":\"assistant\",\"content\":null}}}}]}}\n\n{HI}{STOP}{DONE}"),
        format!("data:\n\n{HI}{STOP}data: {{\"choices\":[],\"usage\":null}}\n\n{DONE}"),
        // Several answers, of which the first one counts, and legacy completions.
        format!("data: {{\"choices\":[{{\"index\":1,\"delta\":{{\"content\":\"No\"}},\"finish_reason\":\"length\"}}]}}\n\n{HI}{STOP}{DONE}"),
        "data: {\"choices\":[{\"text\":\"Hi\",\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n".to_owned(),
        // The text so far beside what is new (Perplexity).
        format!("{}{STOP}", HI.replace("\"delta\"", "\"message\":{\"content\":\"Hi all of it\"},\"delta\"")),
        HI.replace("\"Hi\"", "[{\"type\":\"text\",\"text\":\"H\"},{\"type\":\"text\",\"text\":\"i\"}]") + STOP,
        // MiniMax (ENTERPILOT/GoModel#1068): the whole message after its parts. Others send messages instead of parts.
        format!(
            "{HI}data: {{\"object\":\"chat.completion\",\"choices\":[{{\"index\":0,\"finish_reason\":\"stop\",\"message\":{{\"role\":\"assistant\",\"content\":\"Hi\"}}}}]}}\n\n{DONE}"
        ),
        format!("{}{}{STOP}", HI.replace("delta", "message").replace("Hi", "H"), HI.replace("delta", "message").replace("Hi", "i")),
        // Comments as data (anomalyco/opencode#50871, mnfst/llm-gateway#2053), and what others send to keep a connection open.
        format!("data: : keepalive\n\n{HI}data: : OPENROUTER PROCESSING\n\ndata: [PING]\n\ndata: \"ping\"\n\n{STOP}{DONE}"),
        format!("event: ping\ndata: ping\n\nevent: keepalive\ndata: {{}}\n\n{HI}{STOP}{DONE}"),
        // Markers of the model that its server did not read.
        format!("{}{STOP}{DONE}", HI.replace("Hi", "Hi<|im_end|>")),
        // A whole answer.
        "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}".to_owned(),
        "\n\n  {\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"refusal\":null},\"finish_reason\":\"stop\"}],\"error\":null}\n".to_owned(),
        "[{\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]},{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}]".to_owned(),
    ] {
        complete(&body, "Hi");
    }
    complete(&format!("{}{STOP}{DONE}", HI.replace("Hi", "字\\n👩🏽\u{200d}💻 \\\"q\\\"")), "字\n👩🏽\u{200d}💻 \"q\"");
}

#[test]
fn an_answer_is_complete_only_when_the_provider_says_so() {
    // The words for a proper end: OpenAI, Anthropic, TGI, Gemini, Cohere.
    for reason in ["stop", "end_turn", "stop_sequence", "eos_token", "STOP", "COMPLETE"] {
        complete(&format!("{HI}{}{DONE}", finish(&format!("\"{reason}\""))), "Hi");
    }
    for reason in ["FINISH_REASON_STOP", "FinishReason.STOP"] {
        complete(&format!("{HI}{}{DONE}", finish(&format!("\"{reason}\""))), "Hi");
    }
    // Gemini says what it has found.
    let filtered = finish("\"content_filter: PROHIBITED_CONTENT\"");
    fails(&format!("{filtered}{DONE}"), Reason::ContentFilter, "", "filtered");
    for reason in ["length", "max_tokens", "MAX_TOKENS", "model_length"] {
        assert_eq!(read(&format!("{HI}{}{DONE}", finish(&format!("\"{reason}\"")))).end, Ok(true), "{reason}");
    }
    fails(HI, Reason::UnknownEnd, "Hi", "before the answer was complete");
    fails(&format!("{HI}{DONE}"), Reason::UnknownEnd, "Hi", "did not say why");
    // Nothing that a reader sees. NUL could not even be stored.
    for hidden in ["<|im_end|>", "\\u0000", "\\u200b\\ufeff", " \\u00ad\\u2060\\n"] {
        let text = HI.replace("Hi", hidden);
        let body = format!("{text}{STOP}{DONE}");
        assert_eq!(read(&body).end, Err(Reason::EmptyAnswer), "{hidden}");
    }
    for reason in ["null", "\"\"", "\"null\""] {
        fails(&format!("{HI}{}{DONE}", finish(reason)), Reason::UnknownEnd, "Hi", "did not say why");
    }
    fails(&format!("{HI}{}{DONE}", finish("\"tool_calls\"")), Reason::UnknownEnd, "Hi", "`tool_calls`");
    fails(&format!("{HI}{}{DONE}", finish("\"content_filter\"")), Reason::ContentFilter, "Hi", "filtered");
    fails(&format!("{HI}{}{DONE}", finish("\"SAFETY\"")), Reason::ContentFilter, "Hi", "filtered");
    fails(
        &format!("{HI}{}{DONE}", finish("\"insufficient_system_resource\"")),
        Reason::BrokenOff,
        "Hi",
        "system_resource",
    );
    fails(&format!("{}{DONE}", finish("\"error\"")), Reason::ProviderError, "", "`error`");
    fails(": alive\n\n", Reason::BrokenOff, "", "empty");
    fails("", Reason::BrokenOff, "", "empty");
    // Cut off in the middle of an event.
    fails(&format!("{HI}data: {{\"choices\":[{{\"del"), Reason::BrokenOff, "Hi", "not JSON");
    fails(
        "{\"choices\":[{\"message\":{\"content\":\"Hi\"}}]}",
        Reason::UnknownEnd,
        "Hi",
        "before the answer was complete",
    );
}

#[test]
fn what_comes_after_an_early_end_belongs_to_the_answer() {
    complete(&format!("{HI}{STOP}{HI}{STOP}{DONE}"), "HiHi");
    complete(&format!("{HI}{STOP}{HI}{DONE}"), "HiHi");
    // Gemini and some proxies send a finish reason with every event.
    let each = HI.replace("}}]", "},\"finish_reason\":\"stop\"}]");
    complete(&format!("{each}{each}"), "HiHi");
    fails(&format!("{HI}{STOP}{HI}"), Reason::BrokenOff, "HiHi", "in the middle");
    assert_eq!(read(&format!("{HI}{STOP}{HI}{}{DONE}", finish("\"length\""))).end, Ok(true));
    let error = "data: {\"error\":{\"message\":\"too late\"}}\n\n";
    fails(&format!("{HI}{STOP}{error}{DONE}"), Reason::BrokenOff, "Hi", "too late");
    fails(&format!("{HI}{STOP}data: oops\n\ndata: [DONE]\n\n"), Reason::Malformed, "Hi", "oops");
}

#[test]
fn errors_of_every_form_keep_their_message() {
    for error in [
        "data: {\"error\":{\"message\":\"own goal\",\"code\":500}}\n\n",
        "data: {\"error\":\"own goal\"}\n\n",
        "data: {\"error\":{\"error\":{\"message\":\"own goal\"}}}\n\n",
        "data: [{\"error\":{\"code\":503,\"message\":\"own goal\"}}]\n\n",
        "data: {\"detail\":\"own goal\"}\n\n",
        "data: {\"object\":\"error\",\"message\":\"own goal\",\"code\":500}\n\n",
        "data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}],\"error\":{\"code\":502,\"message\":\"own goal\"}}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"error\":{\"message\":\"own goal\",\"code\":502}}]}\n\n", // OpenRouter
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"own goal\"}}\n\n",
        "event: error\ndata: {\"message\":\"own goal\"}\n\n",
        "event: error\ndata: own goal\n\n",
        "event: error\ndata: <html><body>own goal</body></html>\n\n",
        "{\"error\": {\"message\": \"own goal\"}}\n", // without a field name
        "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"own goal\"\n  }\n}\n", // in several lines (BerriAI/litellm#5650)
        "data: {\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"own goal\"\n  }\n}\n\n",
        "error: {\"code\":500,\"message\":\"own goal\",\"type\":\"server_error\"}\n\n", // llama.cpp (ggml-org/llama.cpp#16104)
        "data: {\"error_type\":\"x\",\"error_message\":\"own goal\"}\n\n", // Venice (NousResearch/hermes-agent#68451)
        "data: {\"message\":\"own goal\"}\n\n",
        "data: {\"code\":500,\"msg\":\"own goal\"}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"error\":\"own goal\"}]}\n\n",
    ] {
        fails(error, Reason::ProviderError, "", "own goal");
        fails(&format!("{HI}{error}{DONE}"), Reason::BrokenOff, "Hi", "own goal");
    }
    fails(
        "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>",
        Reason::Malformed,
        "",
        "no answer, but: 502 Bad Gateway",
    );
    fails("upstream connect error or disconnect/reset before headers", Reason::Malformed, "", "upstream connect error");
    fails(&format!("{HI}<html><h1>504 Gateway Time-out</h1></html>"), Reason::BrokenOff, "Hi", "504 Gateway Time-out");
    fails("data: Internal Server Error\n\n", Reason::Malformed, "", "Internal Server Error");
    fails("{\"detail\":\"own goal\"}", Reason::ProviderError, "", "own goal");
    fails("{\"hello\":\"there\"}", Reason::Malformed, "", "not known");
    // Anthropic's own format.
    fails(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
        Reason::Malformed,
        "",
        "not known",
    );
    let secret = read("event: error\ndata: call to https://me:pw@h/v1?key=AIza123456789 with sk-1234567890 failed\n\n");
    assert_eq!(secret.detail, "call to https://h/v1 with [redacted] failed");
    assert!(read(&format!("event: error\ndata: {}\n\n", "x".repeat(5000))).detail.len() <= 2000);
    fails(&HI.replace("\"Hi\"", "7"), Reason::Malformed, "", "neither text nor a list");
}

#[test]
fn thoughts_are_no_part_of_the_answer() {
    for field in [
        "\"reasoning_content\":\"hm\"",
        "\"reasoning\":\"hm\"",
        "\"reasoning\":\"hm\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"hm\"}]", // OpenRouter
        "\"reasoning_content\":\"hm\",\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"x\"}]", // LiteLLM
        "\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]}]", // Mistral
        "\"content\":\"hm\",\"extra_content\":{\"google\":{\"thought\":true}}",                     // Gemini
        "\"content\":\"<think>hm</think>\"",
        "\"content\":\"<thought>hm</thought>\\n\\n\"",
    ] {
        let thought = format!("data: {{\"choices\":[{{\"delta\":{{{field}}}}}]}}\n\n");
        let read = read(&format!("{thought}{HI}{STOP}{DONE}"));
        assert_eq!((read.text.as_str(), read.thoughts.as_str(), read.end), ("Hi", "hm", Ok(false)), "{field}");
        // Without an answer, there is none, and how it ended says what to do.
        fails(&format!("{thought}{STOP}{DONE}"), Reason::EmptyAnswer, "", "thought, but not answered");
        fails(
            &format!("{thought}{}{DONE}", finish("\"length\"")),
            Reason::OnlyThinking,
            "",
            "raise the instruction's max_tokens",
        );
    }
    fails(&format!("{}{STOP}", HI.replace("Hi", " \\n")), Reason::EmptyAnswer, " \n", "no text");
    fails(&format!("{}{DONE}", finish("\"length\"")), Reason::OnlyThinking, "", "raise the instruction's max_tokens");
}

/// Written after sgl-project/sglang#12081 and nugget/thane-ai-agent#1395.
#[test]
fn an_error_in_place_of_an_answer_is_a_refusal_and_one_after_text_is_not() {
    let chat = Chat { base_url: String::new() };
    let refused = |body: &str| {
        let (mut reading, mut pieces) = (Reading::new(&chat, false), Vec::new());
        let pushed = reading.push(body.as_bytes(), &mut pieces);
        let _ = pushed.and_then(|_| reading.finish(&mut pieces).map(|_| true));
        reading.refused.map(|refusal| (refusal.status, refusal.failure.reason))
    };
    let error = "{\"error\":{\"object\":\"error\",\"message\":\"The input (130000 tokens) is longer than the model's context length (32768 tokens).\",\"code\":400}}";
    for body in [error.to_owned(), format!("data: {error}\n\n"), format!("event: error\ndata: {error}\n\n")] {
        assert_eq!(refused(&body), Some((400, Reason::ContextTooLong)), "{body}");
        assert_eq!(refused(&format!("{HI}{body}")), None, "{body}");
    }
    let unsupported = "data: {\"error\":{\"message\":\"Unsupported parameter: 'temperature'\"}}\n\n";
    assert_eq!(refused(unsupported).map(|(status, _)| status), Some(400));
}

/// Halves of characters, of proxies that split by units of UTF-16 (elizaOS/eliza#30904), and letters that the end has cut off.
#[test]
fn characters_that_were_split_do_not_end_an_answer() {
    complete(
        &format!("{}{}{STOP}", HI.replace("Hi", "a\\ud83d"), HI.replace("Hi", "\\ude00b \\ud83d\\ude00 \\\\ud83d")),
        "a��b 😀 \\ud83d",
    );
    let chat = Chat { base_url: String::new() };
    let mut cut = HI.as_bytes().to_vec();
    cut.extend_from_slice(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xd0");
    let read = read_as(&chat, &cut, 7);
    assert_eq!((read.text.as_str(), read.end), ("Hi", Err(Reason::BrokenOff)));
}

#[test]
fn thoughts_that_use_up_the_answer_are_not_taken_for_it() {
    let chat = Chat { base_url: String::new() };
    let body = format!("{}{}{DONE}", HI.replace("Hi", "Okay, the user asks"), finish("\"length\""));
    let (mut reading, mut pieces) = (Reading::new(&chat, true), Vec::new());
    assert_eq!(reading.push(body.as_bytes(), &mut pieces), Ok(true));
    assert_eq!(reading.finish(&mut pieces).unwrap_err().reason, Reason::OnlyThinking);
    assert!(pieces.iter().all(|piece| !matches!(piece, Piece::Text(_))), "{pieces:?}");
}

#[test]
fn a_model_that_thinks_first_is_noticed() {
    let chat = Chat { base_url: String::new() };
    let body = format!("{}{}{STOP}{DONE}", HI.replace("Hi", "Hm.\\n"), HI.replace("Hi", "</think>\\n\\nHi"));
    let (mut reading, mut pieces) = (Reading::new(&chat, false), Vec::new());
    let failure = reading.push(body.as_bytes(), &mut pieces).unwrap_err();
    assert_eq!((failure.reason, reading.learnt), (Reason::Malformed, Some(Adjustment::ThinksFirst)));
    let (mut reading, mut pieces) = (Reading::new(&chat, true), Vec::new());
    assert_eq!(reading.push(body.as_bytes(), &mut pieces), Ok(true));
    reading.finish(&mut pieces).unwrap();
    let [Piece::Thoughts(thoughts), Piece::Text(text)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!((thoughts.as_str(), text.as_str()), ("Hm.\n", "Hi"));
}

#[test]
fn refusals_and_usage_are_read() {
    let refusal = "data: {\"choices\":[{\"delta\":{\"refusal\":\"I can't \"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"refusal\":\"help.\"}}]}\n\n";
    fails(&format!("{refusal}{STOP}{DONE}"), Reason::Refused, "", "I can't help.");
    fails(&format!("{}{DONE}", finish("\"refusal\"")), Reason::Refused, "", "declined");
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"completion_tokens_details\":{\"reasoning_tokens\":4}}}\n\n";
    let tokens = Tokens { prompt: Some(7), completion: Some(9), thinking: Some(4) };
    assert_eq!(read(&format!("{HI}{STOP}{usage}{DONE}")).tokens, tokens);
    let cut = read(&format!("{}{usage}{DONE}", finish("\"length\"")));
    assert_eq!((cut.end, cut.tokens), (Err(Reason::OnlyThinking), tokens), "a failure has its usage as well");
    assert_eq!(read(&format!("{HI}{usage}data: {{\"error\":\"x\"}}\n\n")).tokens, tokens);
    // xAI (UKGovernmentBEIS/inspect_ai#5528) and Gemini count thoughts in the sum alone; Moonshot and Groq have other places; some
    // write fractions.
    for (usage, tokens) in [
        (
            "\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,\"completion_tokens_details\":{\"reasoning_tokens\":94}}",
            Tokens { prompt: Some(32), completion: Some(103), thinking: Some(94) },
        ),
        (
            "\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":10,\"total_tokens\":1018}",
            Tokens { prompt: Some(8), completion: Some(1010), thinking: None },
        ),
        (
            "\"x_groq\":{\"usage\":{\"prompt_tokens\":8.0,\"completion_tokens\":2,\"total_tokens\":10}}",
            Tokens { prompt: Some(8), completion: Some(2), thinking: None },
        ),
    ] {
        assert_eq!(read(&format!("{HI}{STOP}data: {{\"choices\":[],{usage}}}\n\n{DONE}")).tokens, tokens, "{usage}");
    }
    let in_choice = STOP.replace("\"delta\"", "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1},\"delta\"");
    assert_eq!(
        read(&format!("{HI}{in_choice}")).tokens,
        Tokens { prompt: Some(7), completion: Some(1), thinking: None }
    );
    let running = HI.replace("{\"choices\"", "{\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1},\"choices\"");
    assert_eq!(read(&running).tokens, Tokens { prompt: Some(7), completion: Some(1), thinking: None });
}

/// Written after <https://platform.openai.com/docs/api-reference/responses-streaming>.
#[test]
fn the_events_of_the_responses_api_are_read() {
    let api = Responses { base_url: "https://h/v1".into(), is_background: true };
    let event = |kind: &str, rest: &str| {
        format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":1{rest}}}\n\n")
    };
    let response = |status: &str, rest: &str| {
        format!(",\"response\":{{\"object\":\"response\",\"id\":\"resp_1\",\"status\":\"{status}\"{rest}}}")
    };
    let begin = event("response.created", &response("queued", ",\"output\":[]"))
        + &event("response.in_progress", &response("in_progress", ",\"output\":[]"))
        + &event("response.output_item.added", ",\"item\":{\"type\":\"reasoning\"}")
        + &event("response.reasoning_summary_text.delta", ",\"delta\":\"hm\"")
        + &event("response.output_text.delta", ",\"delta\":\"H\"")
        + &event("response.output_text.delta", ",\"delta\":\"i\"")
        + &event("response.output_text.done", ",\"text\":\"Hi\"");
    let usage =
        ",\"usage\":{\"input_tokens\":7,\"output_tokens\":9,\"output_tokens_details\":{\"reasoning_tokens\":4}}";
    let output = ",\"output\":[{\"type\":\"reasoning\",\"summary\":[]},{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi\"}]}]";
    let read = |body: &str| read_as(&api, body.as_bytes(), 7);
    let whole =
        read(&(begin.clone() + &event("response.completed", &response("completed", &format!("{output}{usage}")))));
    assert_eq!((whole.text.as_str(), whole.thoughts.as_str(), whole.end), ("Hi", "hm", Ok(false)));
    assert_eq!(whole.tokens, Tokens { prompt: Some(7), completion: Some(9), thinking: Some(4) });
    let incomplete = |reason: &str| {
        let details = format!(",\"incomplete_details\":{{\"reason\":\"{reason}\"}}");
        read(&(begin.clone() + &event("response.incomplete", &response("incomplete", &details)))).end
    };
    assert_eq!(incomplete("max_output_tokens"), Ok(true));
    assert_eq!(incomplete("content_filter"), Err(Reason::ContentFilter));
    let failed = event(
        "response.failed",
        &response("failed", ",\"error\":{\"code\":\"server_error\",\"message\":\"own goal\"}"),
    );
    let failed = read(&(begin.clone() + &failed));
    assert_eq!((failed.end, failed.detail.as_str()), (Err(Reason::BrokenOff), "own goal"));
    let error = read(&event("error", ",\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\",\"param\":null"));
    assert_eq!((error.end, error.detail.as_str()), (Err(Reason::RateLimited), "slow down"));
    assert_eq!(read(&begin).end, Err(Reason::UnknownEnd));
    // Whole items without parts (Soju06/codex-lb#504), an end without output (QuantumNous/new-api#4362) or without a status.
    let item = event(
        "response.output_item.done",
        ",\"item\":{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi\"}]}",
    );
    for end in [
        event("response.completed", &response("completed", ",\"output\":[]")),
        event("response.completed", &response("completed", output)),
        event("response.completed", ",\"response\":{\"id\":\"resp_1\"}"),
    ] {
        let read = read(&(item.clone() + &end));
        assert_eq!((read.text.as_str(), read.end), ("Hi", Ok(false)), "{end}");
    }
    let refusal =
        event("response.refusal.delta", ",\"delta\":\"no\"") + &event("response.completed", &response("completed", ""));
    assert_eq!(read(&refusal).end, Err(Reason::Refused));
    // A response that is not streamed, and one whose beginning was missed.
    let object = format!("{{\"object\":\"response\",\"id\":\"resp_1\",\"status\":\"completed\"{output}{usage}}}");
    assert_eq!((read(&object).text, read(&object).end), ("Hi".to_owned(), Ok(false)));
    let late = event("response.completed", &response("completed", output));
    assert_eq!((read(&late).text, read(&late).end), ("Hi".to_owned(), Ok(false)));
}

#[test]
fn the_name_of_a_kept_answer_is_passed_on_until_it_is_of_no_use() {
    let api = Responses { base_url: "https://h/v1".into(), is_background: true };
    let event = |status: &str| {
        format!(
            "data: {{\"type\":\"response.{status}\",\"response\":{{\"id\":\"resp_1\",\"status\":\"{status}\"}}}}\n\n"
        )
    };
    let (mut reading, mut pieces) = (Reading::new(&api, false), Vec::new());
    reading.push((event("queued") + &event("failed")).as_bytes(), &mut pieces).unwrap_err();
    let [Piece::Kept(Some(name)), Piece::Kept(None)] = &pieces[..] else { panic!("{pieces:?}") };
    assert_eq!(name, "resp_1");
    assert_eq!(api.kept_url("resp/1").as_deref(), Some("https://h/v1/responses/resp%2F1"));
}
