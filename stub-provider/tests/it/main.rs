//! The stub follows its scripts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cairn_stub_provider::{Case, Dialect, Fault, Marked, Recorded, Script, Stub, recognize};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

fn client() -> Client {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

async fn ask(stub: &Stub, question: &str) -> reqwest::Result<Response> {
    let body = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "system", "content": "stub:fault=500"}, {"role": "user", "content": question}],
    });
    client().post(format!("{}/chat/completions", stub.base_url())).bearer_auth("key").json(&body).send().await
}

/// The data of each event.
fn frames(body: &str) -> Vec<&str> {
    body.split("\n\n").filter_map(|frame| frame.strip_prefix("data: ")).collect()
}

fn text(frames: &[&str]) -> String {
    let deltas = frames.iter().filter_map(|frame| serde_json::from_str::<Value>(frame).ok());
    deltas.filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn an_answer_streams_in_every_dialect() {
    let stub = Stub::start().await.unwrap();
    for dialect in Dialect::ALL {
        let script = format!("words=20,think=2,write=3,as={}", dialect.name());
        let body = ask(&stub, &format!("stub:{script} Hello?")).await.unwrap().text().await.unwrap();
        let frames = frames(&body);
        assert_eq!(frames.last(), Some(&"[DONE]"), "{body}");
        assert_eq!(text(&frames), script.parse::<Script>().unwrap().answer());
        let usage: Value = serde_json::from_str(frames[frames.len() - 2]).unwrap();
        assert_eq!(usage["usage"]["completion_tokens"], 22);
        assert_eq!(stub.calls(&script), 1);
    }
    assert_eq!((stub.total_calls(), stub.hung_up()), (5, 0));
    let asked = stub.requests().pop().unwrap();
    assert_eq!(asked.authorization.as_deref(), Some("Bearer key"));
    assert_eq!(asked.body["messages"][0]["role"], "system");
}

#[tokio::test]
async fn a_fault_applies_as_often_as_requested() {
    let stub = Stub::start().await.unwrap();
    let script = "words=4,fault=429,retry_after=7,times=2";
    for _ in 0..2 {
        let refused = ask(&stub, &format!("stub:{script}")).await.unwrap();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()["retry-after"], "7");
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    }
    let answered = ask(&stub, &format!("stub:{script}")).await.unwrap().text().await.unwrap();
    assert_eq!(text(&frames(&answered)).split(' ').count(), 4);
    assert_eq!(stub.calls(script), 3);
}

#[tokio::test]
async fn streams_fail_where_requested() {
    let stub = Stub::start().await.unwrap();
    let broken = ask(&stub, "stub:words=10,at=4,fault=disconnect").await.unwrap().text().await;
    assert!(broken.unwrap_err().is_decode(), "the body ends in the middle of a chunk");
    let ended = ask(&stub, "stub:words=10,at=4,fault=end").await.unwrap().text().await.unwrap();
    assert!(!ended.contains("[DONE]") && !ended.contains("\"stop\""), "{ended}");
    assert_eq!(text(&frames(&ended)), Script { words: 4, ..Script::default() }.answer());
    let garbage = ask(&stub, "stub:words=2,fault=garbage").await.unwrap().text().await.unwrap();
    assert!(serde_json::from_str::<Value>(frames(&garbage).last().unwrap()).is_err(), "{garbage}");
    assert!(ask(&stub, "stub:fault=hang_up").await.is_err());
}

#[tokio::test]
async fn a_client_that_hangs_up_is_noticed() {
    let stub = Stub::start().await.unwrap();
    let mut stalled = ask(&stub, "stub:words=2,fault=stall").await.unwrap();
    assert!(stalled.chunk().await.unwrap().is_some());
    assert_eq!(stub.open(), 1);
    drop(stalled);
    let noticed = async {
        while stub.hung_up() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.unwrap();
    assert_eq!(stub.open(), 0);
}

#[tokio::test]
async fn nothing_is_answered_during_an_outage() {
    let stub = Stub::start().await.unwrap();
    stub.set_out(true);
    assert!(ask(&stub, "Hello?").await.is_err());
    stub.set_out(false);
    assert!(ask(&stub, "Hello?").await.unwrap().status().is_success());
    assert_eq!(stub.calls(""), 1);
}

#[tokio::test]
async fn mistakes_in_scripts_are_not_mistaken_for_faults() {
    let stub = Stub::start().await.unwrap();
    let mistaken = ask(&stub, "stub:fault=earthquake").await.unwrap();
    assert_eq!(mistaken.status(), StatusCode::IM_A_TEAPOT);
    assert!(mistaken.text().await.unwrap().contains("`earthquake` is not a fault"));
    let elsewhere = client().get(format!("{}/embeddings", stub.base_url())).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
    assert_eq!("fault=stall".parse::<Script>().unwrap().fault, Fault::Stall);
}

#[tokio::test]
async fn requests_that_do_not_meet_a_demand_are_refused() {
    let stub = Stub::start().await.unwrap();
    for (demand, status) in [("no_stream_options", 422), ("no_system_role", 400), ("no_streaming", 400)] {
        let refused = ask(&stub, &format!("stub:demands={demand}")).await.unwrap();
        assert_eq!(refused.status().as_u16(), status, "{demand}");
    }
    let met = ask(&stub, "stub:words=2,demands=no_temperature+max_completion_tokens").await.unwrap();
    assert!(met.status().is_success());
    assert!("demands=kindness".parse::<Script>().unwrap_err().contains("not a demand"));
}

#[tokio::test]
async fn recorded_responses_are_sent_as_they_are() {
    let stub = Stub::start().await.unwrap();
    stub.record("fine", Recorded { write: 2, ..Recorded::ok("", "any body") });
    stub.record("slow", Recorded::error(429, "{}").with("retry-after-ms", "5"));
    let fine = ask(&stub, "stub:fine Hello?").await.unwrap();
    assert!(fine.headers().get("content-type").is_none());
    assert_eq!(fine.text().await.unwrap(), "any body");
    let slow = ask(&stub, "stub:slow Hello?").await.unwrap();
    assert_eq!((slow.status().as_u16(), &slow.headers()["retry-after-ms"]), (429, &"5".parse().unwrap()));
    assert_eq!(stub.calls("fine"), 1);
}

#[tokio::test]
async fn a_kept_answer_is_written_once_and_can_be_read_again() {
    let stub = Stub::start().await.unwrap();
    let url = format!("{}/responses", stub.base_url());
    for (number, is_streamed) in [(1, true), (2, false)] {
        let input = json!([{"role": "user", "content": format!("stub:words={number} Hello?")}]);
        let body = json!({"model": "m", "input": input, "background": true, "stream": is_streamed});
        let key = number.to_string();
        let post = || client().post(&url).header("idempotency-key", &key).json(&body).send();
        let first = post().await.unwrap().text().await.unwrap();
        assert_eq!(first.contains("event: response.created"), is_streamed, "{first}");
        assert_eq!(post().await.unwrap().text().await.unwrap(), first);
        assert_eq!(stub.calls(&format!("words={number}")), 1);
        let kept = format!("{url}/resp_{number}");
        let again = client().get(format!("{kept}?stream=true")).send().await.unwrap().text().await.unwrap();
        assert!(again.contains("event: response.completed"), "{again}");
        assert!(!is_streamed || again == first, "{again}");
        let whole: Value = client().get(kept).send().await.unwrap().json().await.unwrap();
        assert_eq!(whole["status"], "completed", "{whole}");
    }
    assert_eq!(client().get(format!("{url}/resp_7")).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn random_answers_are_recognized_and_recorded() {
    let stub = Stub::start().await.unwrap();
    stub.answer_at_random(None);
    for number in 1..=2 {
        let body = ask(&stub, "Earlier?\nHello?").await.unwrap().text().await.unwrap();
        let text = text(&frames(&body));
        assert_eq!(recognize(&text, "Hello?"), Ok(Marked { number, is_whole: true }), "{text}");
        let shown = stub.shown().pop().unwrap();
        assert_eq!((shown.question.as_str(), shown.number, shown.case), ("Hello?", number, Case::Plain));
        assert_eq!((shown.sent, shown.is_accepted, shown.is_over), (text, true, true));
        assert!(shown.usage.is_some());
    }
    stub.answer_at_random(Some(1));
    let asked = (0..20).map(|n| {
        let stub = &stub;
        async move {
            // Some are never answered.
            let _ = tokio::time::timeout(Duration::from_secs(1), async {
                ask(stub, &format!("Hello {n}?")).await?.text().await
            })
            .await;
        }
    });
    for asked in asked {
        asked.await;
    }
    let shown = stub.shown();
    assert_eq!(shown.len(), 22);
    for shown in shown.iter().filter(|shown| !shown.sent.is_empty()) {
        assert_eq!(recognize(&shown.sent, &shown.question).map(|marked| marked.number), Ok(shown.number), "{shown:?}");
    }
}
