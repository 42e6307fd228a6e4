//! Readers that leave and come back at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairn_core::tools::Reason;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{ASSISTANT, IDEAS, Writer, act, asked, follow, stream};
use crate::support::{Actor, Reading, TestApp};

const REPLIES: u64 = 200;
const DISCONNECTS: usize = 1000;

/// Readers leave and come back a thousand times and more, to any of two APIs, while 200 replies are written in one to
/// three attempts each: what each has in the end is what is stored, without a gap and without a repeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_leaves_and_comes_back_misses_nothing() {
    let app = TestApp::new().await;
    let other = app.sibling();
    let disconnects = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for n in 0..REPLIES / 2 {
        let actor = app.student(&format!("learner{n}")).await;
        for (path, seed) in [(ASSISTANT, 2 * n), (IDEAS, 2 * n + 1)] {
            let reply_id = asked(&actor, path).await;
            tasks.spawn(write(app.clone(), actor.clone(), reply_id, seed));
            let (actors, disconnects) = ([actor.at(&app), actor.at(&other)], disconnects.clone());
            tasks.spawn(async move { read(&actors, reply_id, seed, &disconnects).await });
        }
    }
    tasks.join_all().await;
    assert!(disconnects.load(Ordering::Relaxed) >= DISCONNECTS, "{disconnects:?} is too few to mean anything");
    app.run_jobs().await;
    other.leave_jobs();
}

/// Writes a reply in some attempts; some are given up or cancelled in the end.
async fn write(app: TestApp, actor: Actor, reply_id: Uuid, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for is_last in [random.random_bool(0.7), random.random_bool(0.7), true] {
        let mut writer = Writer::begin(&app, reply_id).await;
        let mut text = String::new();
        for n in 0..random.random_range(5..40) {
            let piece = ["слово ", "word ", "🦔", "\n"][n % 4].repeat(random.random_range(1..8));
            assert!(writer.write(&piece).await);
            text += &piece;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
        if !is_last {
            continue;
        }
        match seed % 10 {
            0 => assert!(writer.fail(Reason::TooSlow).await),
            1 => drop(act(&actor, reply_id, "cancel").await.expect(200)),
            _ => assert!(writer.complete(&text).await),
        }
        return;
    }
}

/// Reads a few events at a time, then leaves and comes back, until the reply is over.
async fn read(actors: &[Actor; 2], reply_id: Uuid, seed: u64, disconnects: &AtomicUsize) {
    let mut random = StdRng::seed_from_u64(seed ^ 0xabcd);
    let mut reading = Reading::default();
    while reading.over.is_none() {
        let actor = &actors[random.random_range(0..2)];
        let mut reader = follow(actor, reply_id, reading.last_id.as_deref()).await;
        for _ in 0..random.random_range(0..6) {
            match reader.next().await {
                Some(event) => reading.take(event),
                None => break,
            }
        }
        drop(reader);
        disconnects.fetch_add(1, Ordering::Relaxed);
    }
    let reply = actors[0].get(&format!("/v1/replies/{reply_id}")).await.expect(200).json;
    assert_eq!(reply["text"], reading.text, "seed {seed}");
    assert_eq!(reply["state"], reading.over.unwrap().name);
    stream(&actors[1], reply_id, reading.last_id.as_deref()).await.expect(200);
}
