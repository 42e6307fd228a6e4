//! Likes of projects.

use std::sync::Arc;

use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::community::likes;
use cairn_core::db::Db;
use serde_json::json;
use sqlx::ConnectOptions;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{like_path, project};
use crate::support::{Actor, TestApp};

/// Projects whose stored count is wrong though nothing marks them.
const WRONG_AND_UNMARKED: &str = "SELECT count(*) FROM showcase_projects p
    WHERE likes_count <> (SELECT count(*) FROM project_likes l WHERE l.project_id = p.id)
      AND NOT EXISTS (SELECT FROM likes_dirty d WHERE d.project_id = p.id)";

/// The same person for functions of the core.
fn caller(actor: &Actor) -> Caller {
    Caller { user_id: actor.id, session_id: actor.session_id, role: Role::Student, origin: Origin::default() }
}

/// The same database with more connections than a test has: for tests in which many transactions run at once.
fn wide(app: &TestApp, connections: u32) -> Db {
    let url = app.app.pool().connect_options().to_url_lossy();
    Db::connect(url.as_str(), url.as_str(), connections).unwrap()
}

#[tokio::test]
async fn a_like_is_seen_at_once_by_who_likes_and_counted_by_the_worker() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let id = project(&anna, "Liked").await;
    let path = format!("/v1/projects/{id}");
    let seen = async |actor: &Actor| {
        let one = actor.get(&path).await.expect(200).json;
        let listed = actor.get("/v1/projects").await.expect(200).json["items"][0].clone();
        assert_eq!(one, listed);
        (one["likes_count"].as_i64().unwrap(), one["is_liked"].as_bool().unwrap())
    };
    let answer = |liked: bool, likes: i64| json!({"project_id": id, "is_liked": liked, "likes_count": likes});
    assert_eq!(anna.put(&like_path(id)).await.expect(200).json, answer(true, 1));
    assert_eq!(anna.put(&like_path(id)).await.expect(200).json, answer(true, 1));
    assert_eq!(ben.put(&like_path(id)).await.expect(200).json, answer(true, 2));
    assert_eq!(seen(&anna).await, (2, true));
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, 0, "no worker has counted yet");
    app.run_jobs().await;
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, 2);
    assert_eq!(app.count("SELECT count(*) FROM likes_dirty").await, 0);
    assert_eq!(ben.delete(&like_path(id)).await.expect(200).json, answer(false, 1));
    assert_eq!(ben.delete(&like_path(id)).await.expect(200).json, answer(false, 1));
    assert_eq!((seen(&anna).await, seen(&ben).await), ((1, true), (1, false)));
    app.run_jobs().await;
    assert_eq!((seen(&anna).await, seen(&ben).await), ((1, true), (1, false)));
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'project.liked'").await, 2);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'project.unliked'").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE target_title = 'Liked'").await, 5);
}

#[tokio::test]
async fn only_the_first_like_after_a_count_enqueues_one() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "Liked").await;
    let jobs = "SELECT count(*) FROM apalis.jobs WHERE job_type = 'likes'";
    for name in ["ben", "cleo", "dora"] {
        app.student(name).await.put(&like_path(id)).await.expect(200);
        assert_eq!(app.count(jobs).await, 1);
    }
    app.run_jobs().await;
    anna.put(&like_path(id)).await.expect(200);
    assert_eq!(app.count(jobs).await, 2);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, 4);
}

#[tokio::test]
async fn likes_changed_by_hand_are_counted_too() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "Liked").await;
    sqlx::query("INSERT INTO project_likes (project_id, user_id) SELECT $1, id FROM users")
        .bind(id)
        .execute(app.app.pool())
        .await
        .unwrap();
    let seen = anna.get(&format!("/v1/projects/{id}")).await.expect(200).json;
    assert_eq!((&seen["likes_count"], &seen["is_liked"]), (&json!(1), &json!(true)));
    let requeue = async |patience| {
        let mut tx = app.app.db.begin().await.unwrap();
        let requeued = likes::requeue_waiting(&mut tx, patience, 10).await.unwrap();
        tx.commit().await.unwrap();
        requeued
    };
    let minute = std::time::Duration::from_mins(1);
    assert_eq!(requeue(minute).await, 0, "it has not waited for a minute");
    sqlx::query("UPDATE likes_dirty SET marked_at = now() - interval '2 minutes'")
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(requeue(minute).await, 1);
    assert_eq!(requeue(minute).await, 0, "once a minute is enough");
    app.run_jobs().await;
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, 1);
}

#[tokio::test]
async fn fifty_people_liking_twice_at_once_are_counted_exactly() {
    let app = TestApp::new().await;
    let author = app.student("author").await;
    let id = project(&author, "Popular").await;
    let barrier = Arc::new(Barrier::new(100));
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let actor = app.student(&format!("learner{n}")).await;
        for _ in 0..2 {
            let (actor, barrier) = (actor.clone(), barrier.clone());
            calls.spawn(async move {
                barrier.wait().await;
                let state = actor.put(&like_path(id)).await.expect(200).json;
                assert_eq!(state["is_liked"], true);
                assert!(state["likes_count"].as_i64().unwrap() >= 1);
            });
        }
    }
    calls.join_all().await;
    app.run_jobs().await;
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, 50);
    assert_eq!(app.count("SELECT count(*) FROM likes_dirty").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'project.liked'").await, 50);
}

async fn toggle(db: &Db, caller: &Caller, project_id: Uuid, like: bool) {
    let mut tx = db.begin_as(caller).await.unwrap();
    if like {
        likes::add(&mut tx, project_id).await.unwrap();
    } else {
        likes::remove(&mut tx, project_id).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn recount(db: &Db, project_id: Uuid) -> bool {
    let mut tx = db.begin().await.unwrap();
    let was_marked = likes::recount(&mut tx, project_id).await.unwrap();
    tx.commit().await.unwrap();
    was_marked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recount_among_likes_loses_none() {
    let app = TestApp::new().await;
    let db = wide(&app, 16);
    let author = app.student("author").await;
    let id = project(&author, "Busy").await;
    let mut learners = Vec::new();
    for n in 0..8 {
        learners.push(caller(&app.student(&format!("learner{n}")).await));
    }
    for round in 0..60 {
        let barrier = Arc::new(Barrier::new(learners.len() + 3));
        let mut tasks = JoinSet::new();
        for (n, learner) in learners.iter().cloned().enumerate() {
            let (db, barrier) = (db.clone(), barrier.clone());
            tasks.spawn(async move {
                barrier.wait().await;
                toggle(&db, &learner, id, (n + round) % 3 != 0).await;
            });
        }
        for _ in 0..3 {
            let (db, barrier) = (db.clone(), barrier.clone());
            tasks.spawn(async move {
                barrier.wait().await;
                recount(&db, id).await;
            });
        }
        tasks.join_all().await;
        assert_eq!(app.count(WRONG_AND_UNMARKED).await, 0, "round {round}");
    }
    // The request that set a marker has also enqueued the recount, so the reconciler has nothing to do.
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM likes_dirty").await, 0);
    assert_eq!(app.count(WRONG_AND_UNMARKED).await, 0);
    let expected = (0..8).filter(|n| (n + 59) % 3 != 0).count();
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, i64::try_from(expected).unwrap());
}

/// Repeatable randomness: the generator splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_many_projects_do_not_deadlock() {
    let app = TestApp::new().await;
    let db = wide(&app, 32);
    let author = app.student("author").await;
    let mut projects = Vec::new();
    for n in 0..6 {
        projects.push(project(&author, &format!("Project {n}")).await);
    }
    let mut learners = Vec::new();
    for n in 0..16 {
        learners.push(caller(&app.student(&format!("learner{n}")).await));
    }
    let barrier = Arc::new(Barrier::new(64));
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let (db, barrier) = (db.clone(), barrier.clone());
        let (projects, learners) = (projects.clone(), learners.clone());
        writers.spawn(async move {
            let mut random = Random(writer);
            barrier.wait().await;
            for _ in 0..20 {
                let (project, learner) = (projects[random.below(6)], &learners[random.below(16)]);
                match random.below(10) {
                    0 => drop(recount(&db, project).await),
                    // One statement that affects many projects: all likes of a learner are deleted or restored.
                    1 => run(&db, "DELETE FROM project_likes WHERE user_id = $1", learner.user_id).await,
                    2 => {
                        let insert =
                            "INSERT INTO project_likes (project_id, user_id) SELECT id, $1 FROM showcase_projects
                                      ORDER BY id ON CONFLICT DO NOTHING";
                        run(&db, insert, learner.user_id).await;
                    }
                    n => toggle(&db, learner, project, n % 2 == 0).await,
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(app.count(WRONG_AND_UNMARKED).await, 0);
    for project in projects {
        recount(&db, project).await;
    }
    assert_eq!(app.count("SELECT count(*) FROM likes_dirty").await, 0);
    assert_eq!(app.count(WRONG_AND_UNMARKED).await, 0);
    app.leave_jobs();
}

async fn run(db: &Db, statement: &'static str, user_id: Uuid) {
    sqlx::query(statement).bind(user_id).execute(db.pool()).await.unwrap();
}

#[tokio::test]
async fn a_project_that_was_just_counted_rests() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let id = project(&anna, "Resting").await;
    let due = async || {
        let mut connection = app.app.pool().acquire().await.unwrap();
        likes::due_in(&mut connection, id).await.unwrap()
    };
    assert_eq!(due().await, None, "nothing to count");
    anna.put(&like_path(id)).await.expect(200);
    assert_eq!(due().await, Some(std::time::Duration::ZERO), "never counted");
    for (counted, least, most) in [("now() + interval '1 day'", 200, 200), ("now() - interval '1 second'", 0, 0)] {
        let update = format!("UPDATE showcase_projects SET likes_counted_at = {counted}");
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(app.app.pool()).await.unwrap();
        let wait = due().await.unwrap().as_millis();
        assert!((least..=most).contains(&wait), "{counted}: {wait} ms");
    }
    app.run_jobs().await;
    assert_eq!(app.count("SELECT likes_count::bigint FROM showcase_projects").await, 1);
}
