//! Learners: those who complete lessons, show projects, like and ask, and those who check tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::course::World;
use crate::expected::Expected;
use crate::session::{Call, Entrance, Session, id};

/// How many projects a learner shows in a long run. A few less than they may have.
const PROJECTS: i64 = 190;

/// Acts until told to stop, and asks if `asks` says so. Every change is retried until the server confirms it. Its effect must
/// happen exactly once, however
/// often the call was interrupted after its commit.
pub(crate) async fn learn(
    n: usize,
    entrance: Entrance,
    world: Arc<World>,
    stop: Arc<AtomicBool>,
    asks: bool,
) -> anyhow::Result<Expected> {
    let mut session = Session::register(format!("learner{n}"), None, entrance).await?;
    let lessons = &world.lessons;
    let mut completed = vec![false; lessons.len()];
    let mut liked = false;
    let mut round = n * 7;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let lesson = (round * 5 + n) % lessons.len();
        let path = format!("/lessons/{}/completion", lessons[lesson]);
        if completed[lesson] && round.is_multiple_of(3) {
            session.send(Call::new(Method::DELETE, path)).await?;
            completed[lesson] = false;
            session.count("lesson.reopened");
        } else {
            session.send(Call::new(Method::PUT, path)).await?;
            if !completed[lesson] {
                session.count("lesson.completed");
            }
            completed[lesson] = true;
        }
        if round.is_multiple_of(4) {
            liked = !liked;
            let method = if liked { Method::PUT } else { Method::DELETE };
            let project = world.projects[n % world.projects.len()];
            session.send(Call::new(method, format!("/projects/{project}/like"))).await?;
            session.count(if liked { "project.liked" } else { "project.unliked" });
        }
        if round.is_multiple_of(15) && session.counted("project.created") < PROJECTS {
            show_project(n, &mut session).await?;
        }
        if round.is_multiple_of(25) && asks {
            ask(&mut session).await?;
        }
    }
    let mut completed: Vec<Uuid> =
        lessons.iter().zip(completed).filter_map(|(lesson, done)| done.then_some(*lesson)).collect();
    completed.sort_unstable();
    Ok(Expected { completed: Some(completed), ..Expected::of(session) })
}

/// Shows a project, which waits for a mentor then.
async fn show_project(n: usize, session: &mut Session) -> anyhow::Result<()> {
    let key = format!("project-{n}-{}", session.counted("project.created"));
    let body = json!({ "title": key, "summary": "S" });
    session.send(Call::new(Method::POST, "/projects").body(body).key(key)).await?;
    session.count("project.created");
    Ok(())
}

async fn ask(session: &mut Session) -> anyhow::Result<()> {
    let key = format!("question-{}", session.counted("question.asked"));
    let body = json!({ "message": "How do servers work?" });
    let call = Call::new(Method::POST, "/tools/assistant/messages").body(body).accept(&["reply_open"]).key(key);
    // A question is not accepted while the previous answer is being written.
    if session.send(call).await?.is_success {
        session.count("question.asked");
        session.count("reply.received");
    }
    Ok(())
}

/// Checks and unchecks the tasks that editors add and remove meanwhile. What is completed by it depends on which of them was
/// faster, so it is only checked that all derived values are right.
pub(crate) async fn check_tasks(
    n: usize,
    entrance: Entrance,
    world: Arc<World>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Expected> {
    let mut session = Session::register(format!("pupil{n}"), None, entrance).await?;
    let mut round = n;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let lesson = world.workshops[round % world.workshops.len()];
        let read = Call::new(Method::GET, format!("/lessons/{lesson}")).may_conflict();
        let shown = session.send(read).await?.body;
        let tasks: Vec<Uuid> =
            shown["tasks"].as_array().into_iter().flatten().filter_map(|task| id(&task["id"]).ok()).collect();
        for (index, task) in tasks.into_iter().enumerate() {
            let method = if (round + index).is_multiple_of(5) { Method::DELETE } else { Method::PUT };
            session.send(Call::new(method, format!("/lessons/{lesson}/tasks/{task}/check")).may_conflict()).await?;
        }
    }
    Ok(Expected::of(session))
}
