//! A mentor, who decides about projects beside other mentors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::json;

use crate::course::World;
use crate::expected::{Decision, Expected};
use crate::session::{Call, Entrance, Session, id};

/// How long a mentor waits when nothing is to be moderated.
const PAUSE: Duration = Duration::from_millis(100);

/// Decides until told to stop. Which of several mentors is faster is open, but each decision that the server confirmed must be
/// there once, with its row in the activity log and its event for the author.
pub(crate) async fn moderate(
    n: usize,
    entrance: Entrance,
    world: Arc<World>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Expected> {
    let mut session = Session::register(format!("mentor{n}"), Some(&world.mentor_invite), entrance).await?;
    let mut random = StdRng::seed_from_u64(n as u64);
    let mut decisions = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if random.random_bool(0.1) {
            session.get("/mentor/students?sort=activity&limit=20").await?;
        }
        let queue = session.get("/mentor/projects?limit=20").await?;
        let Some(project) = queue["items"].as_array().and_then(|items| items.choose(&mut random)) else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (project_id, version) =
            (id(&project["id"])?, project["version"].as_i64().context("a project without a version")?);
        let approves = random.random_bool(0.6);
        let (verb, action, status) = if approves {
            ("approve", "project.approved", "published")
        } else {
            ("reject", "project.rejected", "rejected")
        };
        let call = Call::new(Method::POST, format!("/mentor/projects/{project_id}/{verb}")).version(version);
        let call = if approves { call } else { call.body(json!({ "reason": "Say what it does." })) };
        let answer = session.send(call).await?;
        if answer.is_success {
            session.count(action);
            decisions.push(Decision { project_id, action, status });
        } else if answer.was_interrupted {
            session.count_uncertain(action);
        }
    }
    Ok(Expected { decisions, ..Expected::of(session) })
}
