//! The stream of a user's events.

use cairn_core::events::UserEvent;
use cairn_testing::course::Course;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Actor, Call, Event, Follow, TestApp};

fn events(actor: &Actor, last: Option<&str>) -> Call {
    let call = actor.get("/v1/me/events");
    match last {
        Some(last) => call.header("Last-Event-ID", last),
        None => call,
    }
}

/// Follows from now on. Returns the position as well.
async fn follow(actor: &Actor) -> (Follow, String) {
    let mut stream = events(actor, None).follow().await;
    let ready = stream.expect("ready").await;
    (stream, ready.id)
}

/// Commits an event of this user.
async fn emit(app: &TestApp, user_id: Uuid, n: usize) {
    let mut tx = app.app.db.begin().await.unwrap();
    tx.emit(user_id, numbered(n));
    tx.commit().await.unwrap();
}

fn numbered(n: usize) -> UserEvent {
    UserEvent::RoadmapAchieved { roadmap_id: Uuid::nil(), title: n.to_string() }
}

fn number(event: &Event) -> usize {
    event.data["title"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn progress_is_announced_on_every_device() {
    let app = TestApp::new().await;
    let other = app.sibling();
    let path = Course::new(app.app.pool()).await.path(false, &[1, 1]).await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let (mut here, _) = follow(&anna).await;
    let (mut there, _) = follow(&anna.at(&other)).await;
    let (mut bens, _) = follow(&ben).await;
    let done = anna.put(&format!("/v1/lessons/{}/completion", path.lessons[0][0])).await.expect(200).json;
    app.run_jobs().await;
    for stream in [&mut here, &mut there] {
        let mut got = [stream.next().await.unwrap(), stream.next().await.unwrap()];
        got.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(
            got[0].data,
            json!({"type": "progress.updated", "roadmap_id": path.id, "seq": 1, "status": "in_progress",
                   "lessons_completed": 1, "lessons_total": 2})
        );
        assert_eq!(
            got[1].data,
            json!({"type": "stage.achieved", "stage_id": path.stages[0], "roadmap_id": path.id, "title": "Stage 1"})
        );
    }
    assert!(done.to_string().contains("\"seq\":1"), "{done}");
    // The next event of another user is the first one that they get.
    emit(&app, ben.id, 7).await;
    assert_eq!(number(&bens.next().await.unwrap()), 7);
    anna.put(&format!("/v1/lessons/{}/completion", path.lessons[1][0])).await.expect(200);
    app.run_jobs().await;
    let names: Vec<String> =
        [here.next().await, here.next().await, here.next().await].map(|event| event.unwrap().name).into();
    assert!(names.contains(&"roadmap.achieved".to_owned()), "{names:?}");
    other.leave_jobs();
}

#[tokio::test]
async fn replies_are_announced() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let (mut stream, _) = follow(&anna).await;
    let question = json!({"message": "What is a grid?"});
    let asked = anna.post("/v1/tools/assistant/messages", question.clone()).await.expect(202).json;
    app.run_jobs().await;
    let reply = |event: Event| (event.data["reply_id"].clone(), event.data["tool_type"].clone());
    let expected = (asked["reply_id"].clone(), Value::from("assistant"));
    assert_eq!(reply(stream.expect("reply.queued").await), expected);
    assert_eq!(reply(stream.expect("reply.completed").await), expected);
    let asked = anna.post("/v1/tools/ideas/messages", question).await.expect(202).json;
    stream.expect("reply.queued").await;
    let path = format!("/v1/replies/{}", asked["reply_id"].as_str().unwrap());
    anna.call(poem::http::Method::POST, &format!("{path}/cancel")).await.expect(200);
    assert_eq!(stream.expect("reply.cancelled").await.data["reason"], "cancelled");
    anna.call(poem::http::Method::POST, &format!("{path}/retry")).await.expect(202);
    stream.expect("reply.queued").await;
    app.run_jobs().await;
    stream.expect("reply.completed").await;
}

#[tokio::test]
async fn a_reader_resumes_where_it_was_and_hears_when_events_are_gone() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let (stream, start) = follow(&anna).await;
    drop(stream);
    for n in 1..=120 {
        emit(&app, anna.id, n).await;
    }
    let mut stream = events(&anna, Some(&start)).follow().await;
    for n in 1..=120 {
        assert_eq!(number(&stream.next().await.unwrap()), n);
    }
    drop(stream);
    sqlx::query("DELETE FROM user_events WHERE seq <= 100").execute(app.app.pool()).await.unwrap();
    let mut stream = events(&anna, Some("40")).follow().await;
    assert_eq!(stream.expect("missed").await.id, "100");
    assert_eq!(number(&stream.next().await.unwrap()), 101);
    let mut stream = events(&anna, Some("100")).follow().await;
    assert_eq!(number(&stream.next().await.unwrap()), 101, "nothing is missing after 100");
    sqlx::query("DELETE FROM user_events").execute(app.app.pool()).await.unwrap();
    let mut stream = events(&anna, Some("119")).follow().await;
    assert_eq!(stream.expect("missed").await.id, "120");
    let mut stream = events(&anna, Some("999")).follow().await;
    assert_eq!(stream.expect("missed").await.id, "120", "the position is from a later state of the database");
    for wrong in ["x", "-1", "1.2", "9999999999999999999", ""] {
        events(&anna, Some(wrong)).invalid().await.expect(400);
    }
}

/// During a deployment, a later release may write events that this one does not know, more than are read at once.
#[tokio::test]
async fn events_of_a_later_release_are_skipped() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for n in 1..=121 {
        emit(&app, anna.id, n).await;
    }
    sqlx::query("UPDATE user_events SET event = '{\"type\": \"later.invention\"}' WHERE seq <= 120")
        .execute(app.app.pool())
        .await
        .unwrap();
    let mut stream = events(&anna, Some("0")).follow().await;
    assert_eq!(number(&stream.next().await.unwrap()), 121);
}

/// A transaction that is rolled back leaves no gap, and one that commits late is not skipped: whatever a reader has received,
/// it has everything before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_of_concurrent_transactions_come_in_order_to_readers_who_leave_and_come_back() {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let app = TestApp::new().await;
    let other = app.sibling();
    let anna = app.student("anna").await;
    let (stream, start) = follow(&anna).await;
    drop(stream);
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let (app, user_id) = (app.clone(), anna.id);
        tasks.spawn(async move {
            for n in 0..EACH {
                let mut tx = app.app.db.begin().await.unwrap();
                tx.emit(user_id, numbered(writer * EACH + n));
                tx.emit(user_id, numbered(writer * EACH + n));
                if n % 4 == 0 {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                }
            }
        });
    }
    let expected = WRITERS * EACH * 3 / 4 * 2;
    let (mut last, mut got, mut random) = (start, Vec::new(), StdRng::seed_from_u64(1));
    let apis = [anna.at(&app), anna.at(&other)];
    while got.len() < expected {
        let mut stream = events(&apis[random.random_range(0..2)], Some(&last)).follow().await;
        for _ in 0..random.random_range(1..40) {
            if got.len() == expected {
                break;
            }
            let event = stream.next().await.unwrap();
            last = event.id.clone();
            got.push((event.id.parse::<usize>().unwrap(), number(&event)));
        }
    }
    tasks.join_all().await;
    assert!(got.iter().map(|(id, _)| *id).eq(1..=expected), "{got:?}");
    let mut numbers: Vec<usize> = got.iter().map(|(_, n)| *n).collect();
    assert!(numbers.chunks(2).all(|pair| pair[0] == pair[1]), "events of one transaction stand together");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), expected / 2);
    other.leave_jobs();
}

#[tokio::test]
async fn the_end_of_a_session_is_heard_on_this_device_and_on_others() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let phone = anna.another_session().await;
    let ((mut here, _), (mut there, _)) = (follow(&anna).await, follow(&phone).await);
    phone.call(poem::http::Method::POST, "/v1/auth/logout").await.expect(204);
    let ended = here.expect("session.ended").await.data;
    assert_eq!(ended, json!({"type": "session.ended", "session_id": phone.session_id, "reason": "logout"}));
    let ended = there.expect("session.ended").await.data;
    assert_eq!(ended, json!({"type": "session.ended", "session_id": null, "reason": "logout"}));
    assert_eq!(there.next().await, None);
    events(&phone, None).await.expect(401);
    for (sql, reason) in [
        ("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE user_id = $1", "expired"),
        ("UPDATE users SET status = 'suspended' WHERE id = $1", "suspended"),
        ("UPDATE users SET deleted_at = now() WHERE id = $1", "deleted"),
        ("UPDATE users SET role = 'mentor' WHERE id = $1", "role_changed"),
    ] {
        sqlx::query(sql).bind(anna.id).execute(app.app.pool()).await.unwrap();
        assert_eq!(here.expect("session.ended").await.data["reason"], reason);
        assert_eq!(here.next().await, None);
        sqlx::query("UPDATE users SET status = 'active', deleted_at = NULL WHERE id = $1")
            .bind(anna.id)
            .execute(app.app.pool())
            .await
            .unwrap();
        here = follow(&anna.another_session().await).await.0;
    }
    app.run_jobs().await;
}
