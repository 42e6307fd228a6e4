//! Recorded answers of every shape, from the provider to what is stored. What the shapes mean is tested in `providers::openai`;
//! here, that nothing is asked, paid or stored twice.

use cairn_stub_provider::Recorded;

use super::ReplyHarness;

const TEXT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Привет, 👩🏽\u{200d}💻\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ANSWER: &str = "Привет, 👩🏽\u{200d}💻";

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_whatever_it_is_labelled_and_however_it_arrives() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let stream = format!("{TEXT}{STOP}{DONE}");
    let parts = TEXT.replace(&format!("\"{ANSWER}\""), &format!("[{{\"type\":\"text\",\"text\":\"{ANSWER}\"}}]"));
    let whole = format!(
        "{{\"choices\":[{{\"message\":{{\"role\":\"assistant\",\"content\":\"{ANSWER}\"}},\"finish_reason\":\"stop\"}}]}}"
    );
    let cases = [
        ("plain", Recorded::ok("text/plain", stream.clone())),
        ("unlabelled", Recorded::ok("", stream.clone())),
        ("mislabelled", Recorded::ok("application/json", stream.clone())),
        ("crlf", Recorded::ok("text/event-stream", stream.replace('\n', "\r\n"))),
        ("bytes", Recorded { write: 1, ..Recorded::ok("text/event-stream", stream.clone()) }),
        ("unfinished", Recorded::ok("text/event-stream", format!("{TEXT}{STOP}").trim_end())),
        ("parts", Recorded::ok("text/event-stream", format!("{parts}{STOP}{DONE}"))),
        ("whole", Recorded::ok("text/event-stream", whole)),
        ("early", Recorded::ok("text/event-stream", format!("{STOP}{TEXT}{STOP}{DONE}"))),
        (
            "thoughts",
            Recorded {
                write: 3,
                ..Recorded::ok(
                    "",
                    format!("{}{stream}", TEXT.replace(ANSWER, "<think>[SPEC_START]a[SPEC_END]</think>\\n")),
                )
            },
        ),
    ];
    for (name, response) in cases {
        fixture.stub.record(name, response);
        let reply = fixture.ask(&format!("stub:{name} What is a viewport?")).await;
        let stored = fixture.completed(reply).await;
        assert_eq!((stored.text.as_str(), stored.attempt, fixture.stub.calls(name)), (ANSWER, 1, 1), "{name}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM tool_messages WHERE has_copyable_content").await, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_complete_is_not_stored_as_one() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let error = "data: {\"error\":{\"message\":\"too late, sk-1234567890\"}}\n\n";
    for (name, body, reason, calls) in [
        ("late", format!("{TEXT}{STOP}{error}{DONE}"), "broken_off", 5),
        ("unknown", format!("{TEXT}{}{DONE}", STOP.replace("\"stop\"", "\"eos_or_so\"")), "unknown_end", 2),
        ("reasonless", format!("{TEXT}{DONE}"), "unknown_end", 2),
        ("endless", TEXT.to_owned(), "unknown_end", 2),
        ("page", "<html><title>Sign in</title></html>".to_owned(), "malformed", 2),
    ] {
        fixture.stub.record(name, Recorded::ok("text/event-stream", body));
        let reply = fixture.ask(&format!("stub:{name} What is a viewport?")).await;
        let stored = fixture.finished(reply).await;
        assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some(reason)), "{name}");
        assert_eq!((stored.answer, fixture.stub.calls(name)), (None, calls), "{name}");
        assert_eq!(stored.text, if name == "page" { "" } else { ANSWER }, "the text is kept: {name}");
    }
    let said: Vec<String> = sqlx::query_scalar("SELECT DISTINCT error FROM ai_reply_attempts ORDER BY error")
        .fetch_all(fixture.harness.pool())
        .await
        .unwrap();
    assert!(said.contains(&"too late, [redacted]".to_owned()), "{said:?}");
    assert!(said.contains(&"no answer, but: Sign in".to_owned()), "{said:?}");
    worker.stop().await;
}

/// The learner can mend it, so no operator has to do anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_too_long_leaves_nothing_for_operators() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    for (name, status, message) in [
        ("anthropic", 400, "prompt is too long: 903884 tokens > 200000 maximum"),
        ("gemini", 400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        ("groq", 413, "Request too large for model `x`, please reduce your message size and try again."),
        ("tgi", 422, "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000"),
    ] {
        let body = format!("{{\"error\":{{\"message\":\"{message}\"}}}}");
        fixture.stub.record(name, Recorded::error(status, body));
        let reply = fixture.ask(&format!("stub:{name} What is a viewport?")).await;
        assert_eq!(fixture.finished(reply).await.reason.as_deref(), Some("context_too_long"), "{name}");
    }
    cairn_testing::eventually("the jobs are done", async || fixture.harness.count("replies", "Done").await == 4).await;
    assert_eq!(fixture.harness.count("replies", "Killed").await, 0);
    worker.stop().await;
}

/// The model takes less than is configured, so it is asked without the conversation.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_too_long_is_left_out() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let learner = fixture.learner().await;
    let reply = fixture.ask_by(&learner, "stub:words=5 First").await;
    fixture.completed(reply).await;
    // Some endpoints accept every request, and refuse it in place of the answer.
    for accepts in [0, 1] {
        let script = format!("words=6,fault=context,times=1,accepts={accepts}");
        let reply = fixture.ask_by(&learner, &format!("stub:{script} Second")).await;
        assert_eq!((fixture.completed(reply).await.attempt, fixture.stub.calls(&script)), (1, 2));
        assert_eq!(fixture.stub.requests().pop().unwrap().body["messages"].as_array().unwrap().len(), 2);
    }
    // It is the question that is too long, and the learner who has to shorten it.
    let reply = fixture.ask_by(&learner, "stub:words=7,fault=context Third").await;
    assert_eq!(fixture.finished(reply).await.reason.as_deref(), Some("context_too_long"));
    assert_eq!(fixture.stub.calls("words=7,fault=context"), 2);
    worker.stop().await;
}

/// Gemini's free tier calls its limit for a minute a quota.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_waited_for_if_the_provider_says_how_long() {
    let fixture = ReplyHarness::new().await;
    let body = "[{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota, please check your plan and billing details.\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"200s\"}]}}]";
    fixture.stub.record("quota", Recorded::error(429, body));
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:quota What is a viewport?").await;
    cairn_testing::eventually("the reply waits", async || fixture.waiting().await == 1).await;
    let waits: f64 = sqlx::query_scalar(
        "SELECT extract(epoch FROM run_at - now())::float8 FROM apalis.jobs WHERE job_type = 'replies'",
    )
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap();
    assert!(waits > 150.0, "{waits}");
    assert_eq!(fixture.stored(reply).await.ends, [Some("rate_limited".to_owned())]);
    worker.stop().await;
}
