//! Whatever hangs, others are answered: locked rows, requests that were given up, connections that no longer answer, and
//! programs that are suspended.

use std::future::IntoFuture;
use std::time::Duration;

use cairn_testing::course::Course;
use cairn_testing::database::{lock_waiters, scalar, until_waiting};
use cairn_testing::eventually;
use cairn_testing::processes::{Program, free_port};
use cairn_testing::proxy::Proxy;
use futures_util::future::join_all;
use poem::http::Method;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::support::{Actor, Call, JWT_SECRET, TestApp};

async fn hold(app: &TestApp, statement: String) -> PgConnection {
    let mut holder = PgConnection::connect(app.url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {statement}"))).execute(&mut holder).await.unwrap();
    holder
}

/// A learner who completes one of many lessons.
fn complete(actor: &Actor, lesson: Uuid) -> Call {
    actor.put(&format!("/v1/lessons/{lesson}/completion"))
}

async fn lessons(app: &TestApp) -> Vec<Uuid> {
    let course = Course::new(app.app.pool()).await;
    course.path(false, &[24]).await.lessons.concat()
}

/// The marker of one learner is locked, and the learner sends twelve requests that need it. Others are answered, all of them.
#[tokio::test(flavor = "multi_thread")]
async fn one_learner_with_a_locked_marker_takes_no_connection_from_others() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let lessons = lessons(&app).await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    complete(&anna, lessons[0]).await.expect(200);
    let holder = hold(&app, format!("SELECT FROM progress_dirty WHERE user_id = '{}' FOR UPDATE", anna.id)).await;
    let blocked = join_all(lessons[1..13].iter().map(|&lesson| complete(&anna, lesson).into_future()));
    let blocked = tokio::spawn(blocked);
    until_waiting(app.app.pool(), 1).await;
    while !blocked.is_finished() {
        ben.get("/v1/me").await.expect(200);
        complete(&ben, lessons[0]).await.expect(200);
    }
    for reply in blocked.await.unwrap() {
        assert!(!reply.expect(503).problem("unavailable").header("retry-after").is_empty());
    }
    drop(holder);
    eventually("she is answered", async || complete(&anna, lessons[1]).await.status == 200).await;
}

/// As while a synchronous replica does not answer: neither the time of a statement nor that of a lock ends the wait, and what is
/// committed is there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_commit_takes_too_long_does_not_say_that_nothing_was_changed() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    sqlx::raw_sql(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON style_cards DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    .execute(&mut app.superuser().await)
    .await
    .unwrap();
    let card = json!({"slug": "soft", "title": "Soft", "category": "brutalist", "tags": []});
    let reply = admin.post("/v1/admin/styles", card).await;
    let problem = reply.expect(503).problem("unavailable");
    assert!(problem.json["detail"].as_str().unwrap().contains("may have been made"), "{problem:?}");
    app.leave_jobs();
}

/// As when a client goes away in the middle, and comes back, and goes away again.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_give_their_connections_back() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let lessons = lessons(&app).await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    complete(&anna, lessons[0]).await.expect(200);
    let holder = hold(&app, format!("SELECT FROM progress_dirty WHERE user_id = '{}' FOR UPDATE", anna.id)).await;
    for round in 0..8 {
        let waiting = join_all(lessons[1..13].iter().map(|&lesson| complete(&anna, lesson).into_future()));
        tokio::select! {
            _ = waiting => {}
            () = until_waiting(app.app.pool(), 1) => {}
        }
        ben.get("/v1/me").await.expect(200);
        complete(&ben, lessons[round]).await.expect(200);
    }
    eventually("nobody waits any more", async || lock_waiters(app.app.pool()).await == 0).await;
    drop(holder);
    eventually("she is answered", async || complete(&anna, lessons[1]).await.status == 200).await;
}

/// Many learners meet one row that is locked. What does not need it is answered as soon as their waits have ended, which is
/// long before the holder lets go.
#[tokio::test(flavor = "multi_thread")]
async fn many_learners_who_meet_one_locked_table_are_told_to_come_back() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let lessons = lessons(&app).await;
    let mut class = Vec::new();
    for n in 0..16 {
        class.push(app.student(&format!("learner-{n}")).await);
    }
    let ben = app.student("ben").await;
    let holder = hold(&app, "LOCK TABLE user_lesson_progress IN EXCLUSIVE MODE".to_owned()).await;
    let blocked = join_all(class.iter().map(|learner| complete(learner, lessons[0]).into_future()));
    for reply in blocked.await {
        reply.expect(503).problem("unavailable");
    }
    ben.get("/v1/me").await.expect(200);
    drop(holder);
    for learner in &class {
        complete(learner, lessons[0]).await.expect(200);
    }
}

/// The network forgets all connections at once, also those of requests that are under way.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_whose_connections_go_silent_answers_again_without_a_restart() {
    let app = TestApp::new().await;
    let proxy = Proxy::start(app.url()).await;
    let ben = app.student("ben").await;
    let behind = TestApp::at(proxy.url());
    let ben = ben.at(&behind);
    for round in 0..2 {
        for reply in join_all((0..8).map(|_| ben.get("/v1/me").into_future())).await {
            reply.expect(200);
        }
        if round == 0 {
            proxy.silence_existing();
        } else {
            proxy.silence_all();
            ben.get("/v1/me").await.expect(503).problem("unavailable");
            proxy.restore();
        }
        eventually("all are answered", async || {
            join_all((0..8).map(|_| ben.get("/v1/me").into_future())).await.iter().all(|reply| reply.status == 200)
        })
        .await;
    }
}

/// The database is frozen, and a request is waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_told_to_stop_ends_in_time_whatever_hangs() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let proxy = Proxy::start(app.url()).await;
    let logs = tempfile::tempdir().unwrap();
    let (port, ops_port) = (free_port().unwrap(), free_port().unwrap());
    let environment = vec![
        ("DATABASE_URL", proxy.url().to_owned()),
        ("CAIRN_JWT_SECRET", JWT_SECRET.to_owned()),
        ("CAIRN_API_ADDR", format!("127.0.0.1:{port}")),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops_port}")),
        ("CAIRN_LOG", "warn".to_owned()),
    ];
    let program = Program::new("cairn-api", environment, logs.path().join("api.log"));
    let mut process = program.start(None).unwrap();
    let listens = async || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    eventually("it listens", listens).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://127.0.0.1:{port}/v1/me")).bearer_auth(&anna.token);
    assert_eq!(request.try_clone().unwrap().send().await.unwrap().status(), 200);
    let named = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'cairn-api'";
    eventually("its sessions bear its name, also the one that listens", async || app.count(named).await >= 2).await;
    proxy.silence_all();
    let waiting = tokio::spawn(request.send());
    eventually("a request is under way", async || {
        let metrics = client.get(format!("http://127.0.0.1:{ops_port}/metrics")).send().await.unwrap();
        metrics.text().await.unwrap().contains("cairn_http_requests_in_flight 1")
    })
    .await;
    process.signal(Signal::TERM).unwrap();
    process.ended(cairn_api::STOP_LIMIT + Duration::from_secs(5)).await.expect("it ends in time");
    drop(waiting);
}

/// `cairn import` is suspended in the middle, as by Ctrl-Z or a laptop that falls asleep.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_suspended_holds_nothing_that_learners_need() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let logs = tempfile::tempdir().unwrap();
    let (file, log) = (logs.path().join("course.yaml"), logs.path().join("import.log"));
    let environment = vec![("DATABASE_URL", app.url().to_owned()), ("CAIRN_LOG", "off".to_owned())];
    let program = Program::new("cairn", environment, log.clone()).with_args(["import", file.to_str().unwrap()]);
    let write = |tasks: &str| {
        let text = format!(
            "version: 1\nmodules:\n  - slug: basics\n    title: Basics\n    lessons:\n      - {{slug: first, title: First, \
             duration_minutes: 5, completion: tasks, tasks: {tasks}}}\nroadmaps:\n  - slug: way\n    title: Way\n    \
             stages:\n      - {{slug: start, title: Start, lessons: [{{lesson: first}}]}}\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("[{slug: one, title: One}, {slug: two, title: Two}]");
    assert!(program.start(None).unwrap().ended(Duration::from_mins(1)).await.unwrap().success());
    write("[{slug: one, title: One}]");
    let holder = hold(&app, "LOCK TABLE style_cards".to_owned()).await;
    let mut import = program.start(None).unwrap();
    until_waiting(app.app.pool(), 1).await;
    import.signal(Signal::STOP).unwrap();
    drop(holder);
    eventually("it waits no more", async || lock_waiters(app.app.pool()).await == 0).await;
    let anna = app.student("anna").await;
    let (lesson, task): (Uuid, Uuid) = sqlx::query_as("SELECT lesson_id, id FROM lesson_tasks WHERE slug = 'one'")
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    eventually("a learner is answered", async || {
        anna.call(Method::PUT, &format!("/v1/lessons/{lesson}/tasks/{task}/check")).await.status == 200
    })
    .await;
    import.signal(Signal::CONT).unwrap();
    assert_eq!(import.ended(Duration::from_mins(1)).await.unwrap().code(), Some(1));
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("run it again"), "{said}");
    let tasks = "SELECT count(*) FROM lesson_tasks WHERE deleted_at IS NULL";
    assert_eq!(scalar::<i64>(app.app.pool(), tasks).await, 2, "nothing was imported");
    assert!(program.start(None).unwrap().ended(Duration::from_mins(1)).await.unwrap().success());
    assert_eq!(scalar::<i64>(app.app.pool(), tasks).await, 1);
}
