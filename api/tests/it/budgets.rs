//! How much one client may ask for.

use cairn_core::config::{RateLimit, RateLimits};
use cairn_testing::database::{lock_waiters, until_waiting};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Actor, Reply, TestApp};

const SMALL: RateLimit = RateLimit { per_second: 10, burst: 50, concurrent: 64 };

/// The remaining units that a response tells.
fn remaining(reply: &Reply) -> u32 {
    let header = reply.header("ratelimit");
    let left = header.split(';').find_map(|part| part.strip_prefix("r="));
    left.unwrap_or_else(|| panic!("no remaining units in {header:?}")).parse().unwrap()
}

#[tokio::test]
async fn a_client_that_asks_for_too_much_has_to_wait_and_others_do_not() {
    let app = TestApp::new().await;
    let app = app.budgeted(&RateLimits { user: SMALL, address: SMALL });
    let (anna, berta) = (app.student("anna").await, app.student("berta").await);
    for left in (0..50).rev() {
        let reply = anna.get("/v1/me").await.expect(200);
        assert_eq!(reply.header("ratelimit-policy"), "\"user\";q=50;w=5");
        // Time passes, so there may be a little more than what was not used.
        assert!(remaining(&reply) >= left, "{reply:#?}");
    }
    // A clock that is set back gives nothing, however slow the test is.
    let get_me = || {
        app.app.db.clock().advance(-TimeDelta::hours(1));
        anna.get("/v1/me")
    };
    for _ in 0..remaining(&get_me().await) {
        get_me().await.expect(200);
    }
    let refused = get_me().await.expect(429).problem("too_many_requests");
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), ("1", "\"user\";r=0;t=5"));
    // The same person elsewhere is the same client. Others, and who is not signed in, are not.
    let elsewhere = anna.another_session().await;
    app.app.db.clock().advance(-TimeDelta::hours(1));
    elsewhere.get("/v1/me").await.expect(429);
    berta.get("/v1/me").await.expect(200);
    let reply = app.get("/v1/me").await.expect(401);
    assert_eq!(reply.header("ratelimit-policy"), "\"address\";q=50;w=5");
    app.app.db.clock().advance(TimeDelta::seconds(5));
    anna.get("/v1/me").await.expect(200);
    let metrics = app.app.metrics.render().await.unwrap();
    assert!(!metrics.contains("cairn_security_events_total{event=\"rate_limited\"} 0"), "it is counted");
}

#[tokio::test]
async fn what_costs_more_takes_more() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let app =
        app.budgeted(&RateLimits { user: RateLimit { per_second: 1, burst: 1000, concurrent: 64 }, address: SMALL });
    let anna = app.student("anna").await;
    let before = remaining(&anna.get("/v1/me").await.expect(200));
    let after =
        remaining(&anna.post("/v1/tools/ideas/messages", json!({"message": "What are colours?"})).await.expect(202));
    assert!((10..=20).contains(&(before - after)), "{before} and {after}");
}

#[tokio::test]
async fn a_client_with_too_many_requests_at_the_same_time_is_refused() {
    let app = TestApp::new().await;
    let app = app.budgeted(&RateLimits { user: RateLimit { concurrent: 2, ..SMALL }, address: SMALL });
    let anna = app.student("anna").await;
    let mut lock = app.app.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE sessions").execute(&mut *lock).await.unwrap();
    let (first, second) = (tokio::spawn(get_me(&anna)), tokio::spawn(get_me(&anna)));
    until_waiting(app.app.pool(), 2).await;
    let refused = anna.get("/v1/me").await.expect(429).problem("too_many_requests");
    assert_eq!(refused.header("retry-after"), "1");
    lock.rollback().await.unwrap();
    for running in [first, second] {
        running.await.unwrap().expect(200);
    }
    anna.get("/v1/me").await.expect(200);
}

fn get_me(actor: &Actor) -> impl Future<Output = Reply> + use<> {
    let actor = actor.clone();
    async move { actor.get("/v1/me").await }
}

/// Anna's requests all wait for the same row. The pool has eight connections, of which she gets four; berta's requests find
/// the others free.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_user_leaves_connections_to_others() {
    let app = TestApp::new().await;
    let (anna, berta) = (app.student("anna").await, app.student("berta").await);
    let mut lock = app.app.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM users WHERE id = $1 FOR UPDATE").bind(anna.id).execute(&mut *lock).await.unwrap();
    let flood: Vec<_> = (0..60)
        .map(|n| {
            let anna = anna.clone();
            tokio::spawn(async move { anna.patch("/v1/me", json!({"first_name": format!("Anna {n}")})).await })
        })
        .collect();
    until_waiting(app.app.pool(), 4).await;
    for _ in 0..20 {
        berta.get("/v1/me").await.expect(200);
    }
    assert_eq!(lock_waiters(app.app.pool()).await, 4, "no more than half of the connections");
    lock.rollback().await.unwrap();
    for reply in join_all(flood).await {
        reply.unwrap().expect(200);
    }
    app.run_jobs().await;
}
