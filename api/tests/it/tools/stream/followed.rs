//! What a reader gets.

use std::time::Duration;

use cairn_core::admin::housekeeping;
use cairn_core::stream::ReadResult;
use cairn_core::tools::Reason;
use cairn_core::tools::stream::{Position, ReadRequest};
use cairn_core::users::tokens::TokenSubject;
use cairn_testing::database::end_sessions;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, LISTENING, Writer, act, asked, follow, id, stream, until};
use crate::support::{Event, Reading, TestApp};

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[tokio::test]
async fn a_reader_sees_the_answer_grow() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    for (seq, text) in [(1, "Use a "), (2, "grid.\n\nЁжики: "), (3, "🦔 \r\n")] {
        assert!(writer.write(text).await);
        let event = reader.expect("chunk").await;
        assert_eq!((event.id, &event.data["text"]), (format!("1.{seq}"), &json!(text)));
    }
    assert!(reader.retry.is_some(), "the time of reconnection was said");
    assert!(writer.complete("Use a grid.\n\nЁжики: 🦔 \r\n").await);
    let event = reader.expect("completed").await;
    let reply = anna.get(&format!("/v1/replies/{reply_id}")).await.expect(200).json;
    assert_eq!(event.id, "1.end");
    assert_eq!(event.data["message_id"], reply["answer_id"]);
    assert_eq!(event.data["has_copyable_content"], false);
    assert_eq!(reader.next().await, None, "the stream ends");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_reader_comes_back_to_where_it_was() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    for text in ["a", "b", "c"] {
        writer.write(text).await;
    }
    let mut reader = follow(&anna, reply_id, Some("1.1")).await;
    assert_eq!(reader.expect("chunk").await.data["text"], "b");
    drop(reader);
    let mut reader = follow(&anna, reply_id, Some("1.2")).await;
    assert_eq!(reader.expect("chunk").await.data["text"], "c");
    writer.write("d").await;
    assert_eq!(reader.expect("chunk").await.data["text"], "d");
    writer.complete("abcd").await;
    reader.expect("completed").await;
    // Over, but not everything was seen.
    assert_eq!(ids(&follow(&anna, reply_id, Some("1.3")).await.rest().await), ["1.4", "1.end"]);
    assert_eq!(ids(&follow(&anna, reply_id, Some("1.4")).await.rest().await), ["1.end"], "only how it ended");
    // A reader who has everything is told not to reconnect, and one who has nothing gets everything.
    assert_eq!(stream(&anna, reply_id, Some("1.end")).await.expect(200).text, "");
    assert_eq!(follow(&anna, reply_id, None).await.rest().await.len(), 5);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_new_attempt_is_said_to_those_who_have_text_of_the_old_one() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut early = follow(&anna, reply_id, None).await;
    let mut first = Writer::begin(&app, reply_id).await;
    first.write("Old").await;
    early.expect("chunk").await;
    let mut second = Writer::begin(&app, reply_id).await;
    assert_eq!(early.expect("restart").await.id, "2.0");
    assert!(!first.write("late").await, "the old attempt may not write any more");
    second.write("New").await;
    assert_eq!(early.expect("chunk").await.id, "2.1");
    // Somebody who has nothing has nothing to drop.
    let (mut reader, mut late) = (follow(&anna, reply_id, None).await, Reading::default());
    late.take(reader.expect("chunk").await);
    second.complete("New").await;
    late.take(reader.expect("completed").await);
    assert_eq!(late.text, "New");
    // Somebody who left during the old attempt has.
    let events = follow(&anna, reply_id, Some("1.1")).await.rest().await;
    assert_eq!(names(&events), ["restart", "chunk", "completed"]);
    app.run_jobs().await;
}

#[tokio::test]
async fn how_a_reply_ended_is_said_with_its_reason() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let failed = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, failed, None).await;
    let mut writer = Writer::begin(&app, failed).await;
    writer.write("Half").await;
    reader.expect("chunk").await;
    writer.fail(Reason::ContentFilter).await;
    let event = reader.expect("failed").await;
    assert_eq!((event.id.as_str(), &event.data["reason"]), ("1.end", &json!("content_filter")));
    assert_eq!(reader.next().await, None);
    stream(&anna, failed, Some("1.end")).await.expect(200);
    let cancelled = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, cancelled, None).await;
    assert_eq!(act(&anna, cancelled, "cancel").await.expect(200).json["state"], "cancelled");
    let event = reader.expect("cancelled").await;
    assert_eq!(event.data, json!({"type": "cancelled", "reason": "cancelled", "message_id": null}));
    assert_eq!(event.id, "0.end");
    stream(&anna, cancelled, Some("0.end")).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn thoughts_are_events_of_their_own_and_no_part_of_the_answer() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.think("Hm.").await;
    writer.write("Half").await;
    let mut reader = follow(&anna, reply_id, None).await;
    let event = reader.expect("thinking").await;
    assert_eq!((event.id.as_str(), &event.data["text"]), ("1.1", &json!("Hm.")));
    reader.expect("chunk").await;
    assert_eq!(anna.get(&format!("/v1/replies/{reply_id}")).await.expect(200).json["text"], "Half");
    act(&anna, reply_id, "cancel").await.expect(200);
    let page = anna.get(ASSISTANT).await.expect(200).json;
    assert_eq!(page["items"][0]["content"], "Half", "the incomplete answer is kept without them");
    app.run_jobs().await;
}

#[tokio::test]
async fn who_comes_late_gets_the_whole_text() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    for text in ["a", "b", "c"] {
        writer.write(text).await;
    }
    writer.complete("abc").await;
    sqlx::query("UPDATE ai_replies SET finished_at = now() - interval '1 hour'").execute(app.app.pool()).await.unwrap();
    housekeeping::run(app.app.pool(), Duration::from_mins(1)).await.unwrap();
    assert_eq!(app.count("SELECT count(*) FROM ai_reply_chunks").await, 0);
    for (last, expected) in [
        (None, vec!["chunk", "completed"]),
        (Some("1.2"), vec!["restart", "chunk", "completed"]),
        (Some("1.1"), vec!["restart", "chunk", "completed"]),
    ] {
        let events = follow(&anna, reply_id, last).await.rest().await;
        assert_eq!(names(&events), expected);
        let mut reading = Reading::default();
        for event in events {
            reading.take(event);
        }
        assert_eq!(reading.text, "abc");
    }
    stream(&anna, reply_id, Some("1.end")).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_stream_is_the_owners() {
    let app = TestApp::new().await;
    let (anna, ben, ada) = (app.student("anna").await, app.student("ben").await, app.admin("ada").await);
    let reply_id = asked(&anna, ASSISTANT).await;
    for other in [&ben, &ada] {
        stream(other, reply_id, None).await.expect(404).problem("reply_not_found");
    }
    stream(&anna, Uuid::from_u128(7), None).await.expect(404).problem("reply_not_found");
    app.get(&format!("/v1/replies/{reply_id}/stream")).await.expect(401);
    anna.get("/v1/replies/x/stream").invalid().await.expect(400).blames(&[("reply_id", "malformed")]);
    for last in ["x", "1", "1.", "1.x", "-1.2", "1.2.3", "99999999999.1"] {
        let call = stream(&anna, reply_id, Some(last)).invalid();
        call.await.expect(400).problem("malformed_parameter").blames(&[("Last-Event-ID", "malformed")]);
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn a_position_of_another_reply_starts_anew() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("a").await;
    for last in ["1.40", "1.end", "9.1"] {
        let mut reader = follow(&anna, reply_id, Some(last)).await;
        assert_eq!(reader.expect("restart").await.id, "1.0", "{last}");
        assert_eq!(reader.expect("chunk").await.data["text"], "a");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn every_api_follows_what_any_other_accepted() {
    let app = TestApp::new().await;
    let (anna, other) = (app.student("anna").await, app.sibling());
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut readers = [follow(&anna, reply_id, None).await, follow(&anna.at(&other), reply_id, None).await];
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("a").await;
    for reader in &mut readers {
        assert_eq!(reader.expect("chunk").await.id, "1.1");
    }
    writer.complete("a").await;
    for reader in &mut readers {
        reader.expect("completed").await;
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn a_lost_announcement_costs_a_moment() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write_silently("a").await;
    assert_eq!(reader.expect("chunk").await.data["text"], "a");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_lost_listener_is_replaced_and_missed_by_nobody() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    for round in 0..3 {
        until(&app, LISTENING, 1).await;
        // Waits until it is gone, so that the next round does not find it.
        let killed = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
                      WHERE datname = current_database() AND query = 'LISTEN \"cairn_readers\"'";
        assert_eq!(app.count(killed).await, 1);
        writer.write(&format!("{round}")).await;
        assert_eq!(reader.expect("chunk").await.data["text"], round.to_string());
    }
    until(&app, LISTENING, 1).await;
    writer.complete("012").await;
    reader.expect("completed").await;
    app.run_jobs().await;
}

/// As when the database restarts: the stream stays open, and goes on when the database is back.
#[tokio::test]
async fn a_reader_outlives_all_connections_of_its_api() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("a").await;
    reader.expect("chunk").await;
    let mut beside = PgConnection::connect(app.url()).await.unwrap();
    let killed = end_sessions(&mut beside).await;
    assert!(killed >= 2, "{killed}");
    sqlx::query("INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content) VALUES ($1, 1, 2, 'b')")
        .bind(reply_id)
        .execute(&mut beside)
        .await
        .unwrap();
    assert_eq!(reader.expect("chunk").await.data["text"], "b");
    app.leave_jobs();
}

#[tokio::test]
async fn one_connection_listens_for_all_streams() {
    let app = TestApp::new().await;
    let mut readers = Vec::new();
    for n in 0..25 {
        let actor = app.student(&format!("learner{n}")).await;
        for path in [ASSISTANT, IDEAS] {
            readers.push(follow(&actor, asked(&actor, path).await, None).await);
        }
        readers.push(actor.get("/v1/me/events").follow().await);
    }
    until(&app, LISTENING, 1).await;
    assert_eq!(app.app.streams.open_count(), 75);
    assert!(app.app.streams.is_listening());
    drop(readers);
    assert_eq!(app.app.streams.open_count(), 0);
    app.run_jobs().await;
}

/// This holds even if the planner misjudges how few of the many users are readers.
#[tokio::test]
async fn a_step_looks_up_what_it_needs_and_reads_nothing_else() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    Writer::begin(&app, reply_id).await.write("a").await;
    sqlx::raw_sql(
        "INSERT INTO users (email, first_name) SELECT n || '@example.test', 'X' FROM generate_series(1, 500) n; ANALYZE",
    )
    .execute(&mut app.superuser().await)
    .await
    .unwrap();
    let session_id = sqlx::query_scalar("SELECT id FROM sessions WHERE user_id = $1").bind(anna.id);
    let session_id = session_id.fetch_one(app.app.pool()).await.unwrap();
    let subject = TokenSubject { user_id: anna.id, session_id };
    let requests = [ReadRequest { reply_id, subject, position: Position::default() }; 50];
    let mut tx = app.app.db.begin().await.unwrap();
    sqlx::query("SET LOCAL plan_cache_mode = force_generic_plan").execute(&mut *tx).await.unwrap();
    let results = cairn_core::tools::stream::read(&mut tx, &requests, app.app.now()).await.unwrap();
    let one = |result: &Option<ReadResult<_, _>>| result.as_ref().is_some_and(|result| result.updates.len() == 1);
    assert!(results.iter().all(one), "{results:?}");
    let read: Vec<(String, i64)> = sqlx::query_as(
        "SELECT relname::text, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
         WHERE relname IN ('users', 'sessions', 'ai_replies', 'ai_reply_chunks') ORDER BY 1",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    // One row of each for each reader, and what the connection did before.
    assert!(read.len() == 4 && read.iter().all(|(_, rows)| *rows < 100), "{read:?}");
    drop(tx);
    app.run_jobs().await;
}

#[tokio::test]
async fn cancelling_ends_the_stream_and_keeps_what_there_is() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("Half an ").await;
    reader.expect("chunk").await;
    let answer = act(&anna, reply_id, "cancel").await.expect(200).json;
    assert_eq!((&answer["state"], &answer["text"]), (&json!("cancelled"), &json!("Half an ")));
    let event = reader.expect("cancelled").await;
    assert_eq!(event.data["message_id"], answer["answer_id"]);
    assert!(!writer.write("answer").await, "the worker has to stop");
    assert!(!writer.complete("Half an answer").await);
    let messages = anna.get(ASSISTANT).await.expect(200).json;
    assert_eq!(messages["items"][0]["id"], answer["answer_id"]);
    assert_eq!(messages["items"][0]["content"], "Half an ");
    assert_eq!(messages["items"][0]["reply_state"], "cancelled");
    assert_eq!(id(&messages["items"][1]["reply_id"]), reply_id);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM tool_messages WHERE role = 'assistant'").await, 1);
}

#[tokio::test]
async fn clearing_ends_the_stream_and_leaves_nothing() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut reader = follow(&anna, reply_id, None).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("Secret").await;
    reader.expect("chunk").await;
    anna.delete(ASSISTANT).await.expect(204);
    reader.expect("restart").await;
    let event = reader.expect("cancelled").await;
    assert_eq!(event.data, json!({"type": "cancelled", "reason": "cleared", "message_id": null}));
    assert!(!writer.write("more").await);
    assert!(!writer.complete("Secret").await);
    assert_eq!(anna.get(ASSISTANT).await.expect(200).json["items"], json!([]));
    for left in [
        "SELECT count(*) FROM tool_messages",
        "SELECT count(*) FROM ai_reply_chunks",
        "SELECT count(*) FROM ai_replies WHERE question <> '' OR context <> '{}'",
    ] {
        assert_eq!(app.count(left).await, 0, "{left}");
    }
    app.run_jobs().await;
    assert_eq!(anna.get(ASSISTANT).await.expect(200).json["items"], json!([]), "the job writes nothing");
}

#[tokio::test]
async fn a_retry_is_said_to_those_who_had_something_of_the_reply() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT).await;
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("Half").await;
    let mut reader = follow(&anna, reply_id, None).await;
    reader.expect("chunk").await;
    writer.fail(Reason::ProviderUnavailable).await;
    let last = reader.expect("failed").await.id;
    stream(&anna, reply_id, Some(&last)).await.expect(200);
    act(&anna, reply_id, "retry").await.expect(202);
    // At once, before anybody writes.
    let mut readers = [follow(&anna, reply_id, Some(&last)).await, follow(&anna, reply_id, Some("1.1")).await];
    for reader in &mut readers {
        assert_eq!(reader.expect("restart").await.id, "2.0");
    }
    let mut writer = Writer::begin(&app, reply_id).await;
    writer.write("Whole").await;
    writer.complete("Whole").await;
    for reader in &mut readers {
        assert_eq!(ids(&reader.rest().await), ["3.1", "3.end"]);
    }
    app.run_jobs().await;
}
