//! Random callers with random ids: nobody gets at what is not theirs, and nothing fails.

use std::collections::BTreeMap;

use cairn_api::Code;
use cairn_core::clock::new_id;
use poem::http::Method;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::AREAS;
use super::check::leak;
use super::school::{School, named, operation};
use super::table::{Access, Row, Who};

/// Larger numbers find more, at the cost of time. The seed is fixed, so that every run makes the same calls; change it to make
/// others.
const CALLS: usize = 600;
const SEED: u64 = 1;

const MEMBERS: &[Who] = &[Who::Learner, Who::Other, Who::Mentor, Who::Admin];
const LEARNER: &[Who] = &[Who::Learner];
const NOBODY: &[Who] = &[];

/// Ids of the school: the parameter that they are for, who gets at them by the operations of learners, and whether mentors do by
/// theirs. Admins get at all of them by their own.
const IDS: &[(&str, &str, &[Who], bool)] = &[
    ("activity_id", "activity 1", NOBODY, false),
    ("chat_id", "chat 1", NOBODY, false),
    ("evaluation_id", "evaluation 1", NOBODY, false),
    ("evaluation_run_id", "run 1", NOBODY, false),
    ("import_id", "import 1", NOBODY, false),
    ("invite_id", "invite 1", NOBODY, false),
    ("lesson_id", "lesson 1", MEMBERS, false),
    ("lesson_id", "draft lesson", NOBODY, false),
    ("lesson_id", "deleted lesson", NOBODY, false),
    ("mentor_question_id", "asked 1", NOBODY, true),
    ("module_id", "module 1", NOBODY, false),
    ("module_id", "deleted module", NOBODY, false),
    ("project_id", "project 1", MEMBERS, true),
    ("project_id", "submitted 1", LEARNER, true),
    ("project_id", "draft project", LEARNER, false),
    ("project_id", "deleted project", NOBODY, false),
    ("prompt_category_id", "category 1", NOBODY, false),
    ("prompt_id", "prompt 1", MEMBERS, false),
    ("prompt_id", "draft prompt", NOBODY, false),
    ("prompt_id", "deleted prompt", NOBODY, false),
    ("reply_id", "reply 1", LEARNER, false),
    ("reply_id", "open reply", LEARNER, false),
    ("reply_id", "failed reply", LEARNER, false),
    ("roadmap_id", "roadmap 1", MEMBERS, true),
    ("roadmap_id", "draft roadmap", NOBODY, false),
    ("roadmap_id", "deleted roadmap", NOBODY, false),
    ("session_id", "session 1", LEARNER, false),
    ("session_id", "s suspended", NOBODY, false),
    ("stage_id", "stage 1", NOBODY, false),
    ("stage_id", "deleted stage", NOBODY, false),
    ("student_id", "learner", NOBODY, true),
    ("student_id", "suspended", NOBODY, true),
    ("student_id", "deleted", NOBODY, false),
    ("student_id", "mentor", NOBODY, false),
    ("style_id", "style 1", MEMBERS, false),
    ("style_id", "draft style", NOBODY, false),
    ("style_id", "deleted style", NOBODY, false),
    ("task_id", "task 1", MEMBERS, false),
    ("task_id", "draft task", NOBODY, false),
    ("term_id", "term 1", MEMBERS, false),
    ("term_id", "draft term", NOBODY, false),
    ("term_id", "deleted term", NOBODY, false),
    ("user_id", "student 1", NOBODY, true),
    ("user_id", "user deleted", NOBODY, false),
];

#[tokio::test]
async fn nobody_gets_at_what_is_not_theirs() {
    let (mut school, mut rng) = (School::new(2).await, StdRng::seed_from_u64(SEED));
    // Most operations are the admins', but most of what can go wrong is among the others.
    let (of_admins, others): (Vec<_>, Vec<_>) =
        rows().into_iter().partition(|(row, _)| matches!(row.access, Access::Admins));
    let mut successes = 0;
    for n in 0..CALLS {
        let rows = if rng.random_bool(0.3) { &of_admins } else { &others };
        let (row, parameters) = rows.choose(&mut rng).unwrap();
        let who = *Who::ALL.choose(&mut rng).unwrap();
        let ids: Vec<(&str, String)> =
            parameters.iter().map(|name| (*name, any_id(&mut rng, name).to_string())).collect();
        let reply = school.call_with(row, who, &ids).await.await;
        let context = format!("seed {SEED}, call {n}: {} as {who:?} with {ids:?}: {reply:#?}", row.operation);
        let is_permitted = !matches!(row.access.refusal(who), Some(Code::Unauthorized | Code::Forbidden));
        let may = is_permitted && ids.iter().all(|(name, id)| reaches(row, who, name, id));
        assert!(reply.status.is_client_error() || (may && reply.status.is_success()), "{context}");
        assert_eq!(leak(who, &reply), None, "{context}");
        successes += usize::from(reply.status.is_success());
        if reply.status.is_success() && operation(row.operation).method != Method::GET {
            school.restore().await;
        }
    }
    println!("seed {SEED}: {CALLS} calls, of which {successes} succeeded");
    assert!(successes > CALLS / 20, "only {successes} of {CALLS} calls succeeded");
}

/// The first row of each operation that has ids in its path, with the names of these parameters.
fn rows() -> Vec<(&'static Row, Vec<&'static str>)> {
    let mut rows = BTreeMap::new();
    for row in AREAS.iter().flat_map(|rows| rows.iter()) {
        let path = &operation(row.operation).path;
        let mut parameters: Vec<&str> = IDS.iter().map(|(name, ..)| *name).collect();
        parameters.dedup();
        parameters.retain(|name| path.contains(&format!("{{{name}}}")));
        if !parameters.is_empty() {
            rows.entry(row.operation).or_insert((row, parameters));
        }
    }
    rows.into_values().collect()
}

/// An id for that parameter, one for another, or one that there is not.
fn any_id(rng: &mut StdRng, parameter: &str) -> Uuid {
    let known = |own: bool| {
        IDS.iter().filter(|(name, ..)| (kind(name) == kind(parameter)) == own).map(|id| id.1).collect::<Vec<_>>()
    };
    match rng.random_range(0..10) {
        0 => Uuid::nil(),
        1 => Uuid::max(),
        2 => new_id(),
        3..8 => named(known(true).choose(rng).unwrap()),
        _ => named(known(false).choose(rng).unwrap()),
    }
}

/// What the parameter is an id of. Students are users.
fn kind(parameter: &str) -> &str {
    if parameter == "student_id" { "user_id" } else { parameter }
}

/// Whether the caller gets at that id with the operation, provided that their role allows it.
fn reaches(row: &Row, who: Who, parameter: &str, id: &str) -> bool {
    let mut ids =
        IDS.iter().filter(|(name, known, ..)| kind(name) == kind(parameter) && named(known).to_string() == id);
    ids.any(|(_, _, members, mentors)| match row.access {
        Access::Admins => true,
        Access::Mentors => *mentors,
        Access::Owner(_) => who == Who::Learner && members.contains(&who),
        Access::Public | Access::Members | Access::Nobody(_) => members.contains(&who),
    })
}
