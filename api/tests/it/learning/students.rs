//! Students, for mentors.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{complete, some, start};
use crate::support::{Actor, TestApp};
use cairn_testing::course::Course;

/// The first names of all pages of two, beginning with the one that `query` asks for.
async fn names(mentor: &Actor, query: &str) -> Vec<String> {
    let query = if query.is_empty() { "sort=activity" } else { query };
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = mentor.get(&format!("/v1/mentor/students?{query}&limit=2{cursor}")).await.expect(200).json;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["first_name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
    }
}

async fn rename(app: &TestApp, actor: &Actor, first: &str, last: Option<&str>) {
    sqlx::query("UPDATE users SET first_name = $2, last_name = $3 WHERE id = $1")
        .bind(actor.id)
        .bind(first)
        .bind(last)
        .execute(app.app.pool())
        .await
        .unwrap();
}

/// Sets when a student was last active, and when the account was created: so many days ago.
async fn age(app: &TestApp, actor: &Actor, active: Option<i32>, created: i32) {
    sqlx::query(
        "UPDATE users SET last_active_at = now() - make_interval(days => $2),
             created_at = now() - make_interval(days => $3) WHERE id = $1",
    )
    .bind(actor.id)
    .bind(active)
    .bind(created)
    .execute(app.app.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn students_are_listed_by_activity_with_what_they_are_at() {
    let app = TestApp::new().await;
    let mia = app.mentor("mia").await;
    let path = Course::new(app.app.pool()).await.path(true, &[2, 1]).await;
    let [anna, ben, cleo, dora] =
        [app.student("anna").await, app.student("ben").await, app.student("cleo").await, app.student("dora").await];
    for lesson in &path.lessons[0] {
        complete(&anna, *lesson).await.expect(200);
    }
    start(&ben, path.lessons[0][0]).await.expect(200);
    for lesson in path.lessons.iter().flatten() {
        complete(&cleo, *lesson).await.expect(200);
    }
    app.run_jobs().await;
    for (student, active, created) in
        [(&anna, Some(1), 9), (&ben, Some(30), 60), (&cleo, Some(20), 60), (&dora, None, 10)]
    {
        age(&app, student, active, created).await;
    }
    assert_eq!(names(&mia, "").await, ["anna", "dora", "cleo", "ben"]);
    let page = mia.get("/v1/mentor/students").await.expect(200).json;
    let at = |n: usize| page["items"][n].clone();
    assert_eq!(at(0)["progress_percent"], 66);
    let stage = json!({
        "stage_id": path.stages[1], "stage_title": "Stage 2", "roadmap_id": path.id,
        "roadmap_title": at(0)["current_stage"]["roadmap_title"], "roadmap_percent": 66,
    });
    assert_eq!(at(0)["current_stage"], stage);
    assert_eq!(
        some(&at(1), &["progress_percent", "current_stage", "last_active_at"]),
        json!({"progress_percent": null, "current_stage": null, "last_active_at": null}),
        "dora has started nothing"
    );
    assert_eq!(
        some(&at(2), &["progress_percent", "current_stage"]),
        json!({"progress_percent": 100, "current_stage": null}),
        "cleo has completed everything"
    );
    assert_eq!(some(&at(3), &["progress_percent"]), json!({"progress_percent": 0}));
    assert_eq!(at(3)["current_stage"]["stage_id"], json!(path.stages[0]));
    for private in ["ip", "email", "password_hash", "user_agent"] {
        assert!(at(0).get(private).is_none(), "{private}");
    }

    let roadmap = format!("roadmap={}", path.id);
    let stage = |n: usize| format!("stage={}", path.stages[n]);
    for (query, expected) in [
        (roadmap.as_str(), &["anna", "cleo", "ben"][..]),
        (&stage(0), &["ben"]),
        (&stage(1), &["anna"]),
        (&format!("{roadmap}&{}", stage(1)), &["anna"]),
        (&format!("roadmap={}", Uuid::from_u128(1)), &[]),
        (&format!("stage={}", Uuid::from_u128(1)), &[]),
        (&format!("roadmap={}&{}", Uuid::from_u128(1), stage(1)), &[]),
        ("stalled_days=7", &["ben"]),
        ("stalled_days=1", &["anna", "ben"]),
        ("stalled_days=31", &[]),
        (&format!("stalled_days=7&{roadmap}&sort=name"), &["ben"]),
        (&format!("{roadmap}&sort=name"), &["anna", "ben", "cleo"]),
        (&format!("{}&q=AN", stage(1)), &["anna"]),
        (&format!("{}&q=AN", stage(0)), &[]),
    ] {
        assert_eq!(names(&mia, query).await, expected, "{query}");
    }
    app.run_jobs().await;
}

/// The system that this replaces searched with `ILIKE '%x%'` and took what was typed as a pattern.
#[tokio::test]
async fn names_are_found_by_how_they_begin() {
    let app = TestApp::new().await;
    let mia = app.mentor("mia").await;
    let people = [
        ("Anna", Some("Berg")),
        ("anna", None),
        ("Bergita", Some("Olsen")),
        ("Olaf", Some("Anders")),
        ("Олег", Some("Иванов")),
        ("50%", Some("_off")),
        ("Anna", Some("Annasdottir")),
    ];
    for (n, (first, last)) in people.into_iter().enumerate() {
        let student = app.student(&format!("learner{n}")).await;
        rename(&app, &student, first, last).await;
    }
    let full = async |query: &str| -> Vec<String> {
        let page = mia.get(&format!("/v1/mentor/students?{query}")).await.expect(200).json;
        let name = |item: &Value| {
            format!("{} {}", item["first_name"].as_str().unwrap(), item["last_name"].as_str().unwrap_or(""))
        };
        page["items"].as_array().unwrap().iter().map(name).collect()
    };
    for (q, expected) in [
        ("an", &["anna ", "Anna Annasdottir", "Anna Berg", "Olaf Anders"][..]),
        ("ANNA", &["anna ", "Anna Annasdottir", "Anna Berg"]),
        ("anna b", &["Anna Berg"]),
        ("berg", &["Bergita Olsen", "Anna Berg"]),
        ("berg%20anna", &["Anna Berg"]),
        ("%D0%B8%D0%B2%D0%B0", &["Олег Иванов"]),
        ("%D0%9E%D0%9B", &["Олег Иванов"]),
        ("nna", &[]),
        ("%25", &[]),
        ("_", &["50% _off"]),
        ("50%25", &["50% _off"]),
        ("__nna", &[]),
        ("%5C", &[]),
    ] {
        assert_eq!(full(&format!("q={}", q.replace(' ', "%20"))).await, expected, "{q}");
    }
    assert_eq!(names(&mia, "q=an").await, ["anna", "Anna", "Anna", "Olaf"], "page by page too");
    assert_eq!(
        full("sort=name").await,
        ["50% _off", "anna ", "Anna Annasdottir", "Anna Berg", "Bergita Olsen", "Olaf Anders", "Олег Иванов"]
    );
    for bad in ["q=", "sort=best", "stalled_days=0", "stalled_days=3651", "roadmap=x", "stage=x"] {
        mia.get(&format!("/v1/mentor/students?{bad}")).invalid().await.expect(400).problem("malformed_parameter");
    }
    let by_activity = mia.get("/v1/mentor/students?limit=1").await.expect(200).json["next_cursor"].clone();
    let path = format!("/v1/mentor/students?sort=name&cursor={}", by_activity.as_str().unwrap());
    mia.get(&path).await.expect(400).blames(&[("cursor", "malformed")]);
}

#[tokio::test]
async fn a_mentor_sees_a_students_progress_and_activity() {
    let app = TestApp::new().await;
    let (anna, mia) = (app.student("anna").await, app.mentor("mia").await);
    let course = Course::new(app.app.pool()).await;
    let (path, other) = (course.path(true, &[1, 2]).await, course.path(false, &[1]).await);
    complete(&anna, path.lessons[0][0]).await.expect(200);
    let asked = anna.post("/v1/tools/assistant/messages", json!({"message": "A secret question"})).await;
    asked.expect(202);
    app.leave_jobs();
    app.run_jobs().await;
    let student = format!("/v1/mentor/students/{}", anna.id);
    let profile = mia.get(&student).await.expect(200).json;
    assert_eq!(
        some(&profile, &["id", "email", "first_name", "progress_percent", "is_suspended"]),
        json!({"id": anna.id, "email": "anna@example.test", "first_name": "anna", "progress_percent": 33,
               "is_suspended": false})
    );
    assert!(profile["last_active_at"].is_string());
    let mine = anna.get("/v1/me/progress").await.expect(200).json;
    assert_eq!((&profile["roadmaps"], profile["roadmaps"].as_array().unwrap().len()), (&mine["roadmaps"], 1));
    for roadmap in [path.id, other.id] {
        let seen = mia.get(&format!("{student}/progress/{roadmap}")).await.expect(200).json;
        assert_eq!(seen, anna.get(&format!("/v1/roadmaps/{roadmap}")).await.expect(200).json);
    }
    let tree = mia.get(&format!("{student}/progress/{}", path.id)).await.expect(200).json;
    assert_eq!(tree["stages"][0]["lessons"][0]["status"], "completed");
    let nothing = format!("{student}/progress/{}", Uuid::from_u128(1));
    mia.get(&nothing).await.expect(404).problem("roadmap_not_found");
    course.edit("UPDATE roadmaps SET publication = 'draft' WHERE id = $1", other.id).await;
    mia.get(&format!("{student}/progress/{}", other.id)).await.expect(404).problem("roadmap_not_found");

    let activity = mia.get(&format!("{student}/activity?limit=100")).await.expect(200);
    assert_eq!(activity.json, anna.get("/v1/me/activity?limit=100").await.expect(200).json);
    assert!(!activity.text.contains("secret"), "what was asked is between the student and the tool");
    let item = activity.json["items"][0].as_object().unwrap();
    assert!(!["ip", "user_agent", "metadata"].iter().any(|private| item.contains_key(*private)), "{item:?}");
    let first = mia.get(&format!("{student}/activity?limit=1")).await.expect(200).json;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = mia.get(&format!("{student}/activity?limit=1&cursor={cursor}")).await.expect(200).json;
    assert_eq!(second["items"][0], activity.json["items"][1]);
}

/// Who may: mentors and admins; whom they see: live students. The system that this replaces served deleted ones.
#[tokio::test]
async fn mentors_see_live_students_and_nobody_else() {
    let app = TestApp::new().await;
    let (anna, mia, root) = (app.student("anna").await, app.mentor("mia").await, app.admin("root").await);
    let path = Course::new(app.app.pool()).await.path(false, &[1]).await;
    let paths = |id: Uuid| {
        let student = format!("/v1/mentor/students/{id}");
        [format!("{student}/progress/{}", path.id), format!("{student}/activity"), student]
    };
    for path in paths(anna.id).into_iter().chain(["/v1/mentor/students".to_owned()]) {
        mia.get(&path).await.expect(200);
        root.get(&path).await.expect(200);
        anna.get(&path).await.expect(403).problem("forbidden");
        app.get(&path).await.expect(401).problem("unauthorized");
    }
    for id in [mia.id, root.id, Uuid::from_u128(1)] {
        for path in paths(id) {
            mia.get(&path).await.expect(404).problem("student_not_found");
        }
    }
    assert_eq!(names(&mia, "").await, ["anna"]);
    sqlx::query("UPDATE users SET status = 'suspended' WHERE id = $1")
        .bind(anna.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    assert_eq!(mia.get(&paths(anna.id)[2]).await.expect(200).json["is_suspended"], true);
    let listed = mia.get("/v1/mentor/students").await.expect(200).json;
    assert_eq!(listed["items"][0]["is_suspended"], true);
    sqlx::query("UPDATE users SET deleted_at = now() WHERE id = $1")
        .bind(anna.id)
        .execute(app.app.pool())
        .await
        .unwrap();
    for path in paths(anna.id) {
        mia.get(&path).await.expect(404).problem("student_not_found");
    }
    for query in ["", "sort=name", "q=an"] {
        assert_eq!(names(&mia, query).await, [""; 0], "{query}");
    }
    // What was refused or read is recorded.
    app.run_jobs().await;
}
