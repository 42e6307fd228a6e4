//! The libraries.

mod favorites;
mod glossary;
mod prompt_categories;
mod prompts;
mod search;
mod styles;

use std::sync::Arc;

use poem::http::Method;
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::{Actor, Call, Reply};

/// Creates a resource in the admins' collection at `path`.
async fn create(admin: &Actor, path: &str, body: Value) -> Value {
    admin.post(path, body).await.expect(201).json
}

/// The members of a resource that say where it is and which version it has.
fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

/// A call on a resource under the version that was last seen.
fn act(admin: &Actor, path: &str, seen: &Value, action: &str) -> Call {
    let path = format!("{path}/{}/{action}", id(seen));
    admin.call(Method::POST, &path).header("If-Match", &version(seen))
}

async fn publish(admin: &Actor, path: &str, seen: &Value) -> Value {
    act(admin, path, seen, "publish").await.expect(200).json
}

fn delete(admin: &Actor, path: &str, seen: &Value) -> Call {
    admin.delete(&format!("{path}/{}", id(seen))).header("If-Match", &version(seen))
}

fn patch(admin: &Actor, path: &str, seen: &Value, changes: Value) -> Call {
    admin.patch(&format!("{path}/{}", id(seen)), changes).header("If-Match", &version(seen))
}

fn version(seen: &Value) -> String {
    format!("\"{}\"", seen["version"])
}

/// A member of each item of a list.
async fn listed(actor: &Actor, path: &str, member: &str) -> Vec<String> {
    let page = actor.get(path).await.expect(200).json;
    page["items"].as_array().unwrap().iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

/// The answers to calls that begin at the same time.
async fn at_once(calls: impl ExactSizeIterator<Item = Call>) -> Vec<Reply> {
    let barrier = Arc::new(Barrier::new(calls.len()));
    let mut running = JoinSet::new();
    for call in calls {
        let barrier = barrier.clone();
        running.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    running.join_all().await
}

/// Asserts that of several creates with one name, one is accepted and the others are told what is wrong.
async fn one_of_many_is_created(admin: &Actor, path: &str, body: &Value) {
    let replies = at_once((0..6).map(|_| admin.post(path, body.clone()))).await;
    let (created, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(created.len(), 1, "{created:#?}");
    for reply in refused {
        reply.expect(409).problem("value_taken").blames(&[("/slug", "taken")]);
    }
}
