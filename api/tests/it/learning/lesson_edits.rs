//! Lessons with their materials and tasks, as admins edit them.

use cairn_core::clock::new_id;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{admin_path, all, check, check_path, id_of, lesson, patch, remove};
use crate::support::crud::{Case, crud_contract};
use crate::support::{Actor, TestApp};
use cairn_testing::course::Course;

const MODULE: Uuid = Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_0000_0000_0001);

fn body(n: usize) -> Value {
    json!({
        "module_id": MODULE,
        "slug": format!("lesson-{n}"),
        "title": format!("Lesson {n}"),
        "duration_minutes": 10,
        "body": "A long text",
        "questions": ["Why is everything so tiny on my phone?"],
        "materials": [{"kind": "link", "title": "A material", "url": "https://material.example"}],
        "tasks": [{"slug": "one", "title": "One"}, {"slug": "two", "title": "Two", "is_required": false}],
    })
}

async fn add_module(app: &TestApp) {
    sqlx::query(
        "INSERT INTO course_modules (id, slug, title, publication) VALUES ($1, 'module', 'Module', 'published')",
    )
    .bind(MODULE)
    .execute(app.app.pool())
    .await
    .unwrap();
}

#[tokio::test]
async fn lessons_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    add_module(&app).await;
    let task = |slug: &str| json!({"slug": slug, "title": "Task"});
    let many: Vec<Value> = (0..1001).map(|n| task(&format!("task-{n}"))).collect();
    let material = json!({"kind": "movie", "title": "A film", "url": "https://film.example"});
    let case = Case {
        noun: "lesson",
        path: "/v1/admin/lessons",
        learners: None,
        body,
        unique: "slug",
        changed: ("title", json!("Hello again")),
        cleared: Some(("video_url", json!("https://video.example/hello"))),
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"title": ""}), vec![("/title", "too_short")]),
            (json!({"duration_minutes": 30_001}), vec![("/duration_minutes", "too_large")]),
            (json!({"completion": "both"}), vec![("/completion", "not_allowed")]),
            (json!({"video_url": "ftp://x"}), vec![("/video_url", "malformed")]),
            (json!({"module_id": "x"}), vec![("/module_id", "malformed")]),
            (json!({"body": "x".repeat(100_001)}), vec![("/body", "too_long")]),
            (json!({"questions": vec!["Why?"; 31]}), vec![("/questions", "too_many")]),
            (
                json!({"questions": ["", "x".repeat(301)]}),
                vec![("/questions/0", "too_short"), ("/questions/1", "too_long")],
            ),
            (json!({"tasks": many}), vec![("/tasks", "too_many")]),
            (
                json!({"tasks": [{"slug": "a task"}]}),
                vec![("/tasks/0/title", "required"), ("/tasks/0/slug", "malformed")],
            ),
            (json!({"materials": [material]}), vec![("/materials/0/kind", "not_allowed")]),
        ],
        ordered: false,
    };
    crud_contract(&app, case).await;
}

/// A lesson with two required tasks and an optional one, completed by its tasks, in a roadmap.
pub(super) struct Fixture {
    pub(super) app: TestApp,
    course: Course,
    pub(super) admin: Actor,
    pub(super) roadmap: Uuid,
    pub(super) id: Uuid,
    pub(super) path: String,
    pub(super) tasks: [Uuid; 3],
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let app = TestApp::new().await;
        let course = Course::new(app.app.pool()).await;
        let path = course.path(false, &[1]).await;
        let id = path.lessons[0][0];
        course.complete_by_tasks(id).await;
        course.material(id, "A material").await;
        let tasks = [
            course.task(id, "One", true).await,
            course.task(id, "Two", true).await,
            course.task(id, "Extra", false).await,
        ];
        let admin = app.admin("root").await;
        Self { app, course, admin, roadmap: path.id, id, path: admin_path("lessons", id), tasks }
    }

    async fn get(&self) -> Value {
        self.admin.get(&self.path).await.expect(200).json
    }

    /// The lesson's tasks as an update takes them.
    pub(super) async fn entries(&self) -> Vec<Value> {
        self.get().await["tasks"].as_array().unwrap().clone()
    }

    pub(super) async fn set_tasks(&self, tasks: Vec<Value>) -> Value {
        patch(&self.admin, &self.path, json!({"tasks": tasks})).await.expect(200).json
    }

    pub(super) async fn status(&self, actor: &Actor) -> Value {
        lesson(actor, self.id).await["status"].clone()
    }
}

#[tokio::test]
async fn editing_a_lesson_keeps_ids_and_what_learners_checked() {
    let fixture = Fixture::new().await;
    let (app, anna) = (&fixture.app, fixture.app.student("anna").await);
    let [one, two, extra] = fixture.tasks;
    check(&anna, fixture.id, one).await.expect(200);
    check(&anna, fixture.id, extra).await.expect(200);
    let before = fixture.get().await;
    let material = before["materials"][0]["id"].clone();
    let edited = patch(
        &fixture.admin,
        &fixture.path,
        json!({
            "title": "Another title",
            "materials": [
                {"kind": "file", "title": "A new one", "url": "https://new.example"},
                {"id": material, "kind": "video", "title": "The old one", "url": "https://old.example"},
            ],
            "tasks": [
                {"id": two, "slug": "task-two", "title": "Two again"},
                {"slug": "new", "title": "A new one", "description": "More", "is_required": false},
                {"id": one, "slug": "task-one", "title": "One again"},
            ],
        }),
    );
    let edited = edited.await.expect(200).json;
    assert_eq!(edited["version"], 3, "{edited}");
    assert_eq!((&edited["materials"][1]["id"], &edited["materials"][1]["kind"]), (&material, &json!("video")));
    assert_eq!(all(&edited["tasks"], "title"), ["Two again", "A new one", "One again"]);
    assert_eq!((&edited["tasks"][0]["id"], &edited["tasks"][2]["id"]), (&json!(two), &json!(one)));
    assert_eq!(fixture.get().await, edited);
    let shown = lesson(&anna, fixture.id).await;
    assert_eq!(all(&shown["materials"], "title"), ["A new one", "The old one"]);
    assert_eq!(all(&shown["tasks"], "is_checked"), [false, false, true]);
    anna.put(&check_path(fixture.id, extra)).await.expect(404).problem("task_not_found");

    // Whoever names a removed task gets it back, with what was checked.
    let mut tasks = fixture.entries().await;
    tasks.push(json!({"id": extra, "slug": "extra", "title": "Extra", "is_required": false}));
    fixture.set_tasks(tasks).await;
    assert_eq!(all(&lesson(&anna, fixture.id).await["tasks"], "is_checked"), [false, false, true, true]);

    app.run_jobs().await;
    let details: Value = sqlx::query_scalar(
        "SELECT metadata FROM activity_log WHERE action = 'lesson.updated' ORDER BY occurred_at, id LIMIT 1",
    )
    .fetch_one(app.app.pool())
    .await
    .unwrap();
    assert_eq!((&details["before"]["tasks"], &details["after"]["tasks"]), (&before["tasks"], &edited["tasks"]));
    assert_eq!(details["after"]["title"], "Another title");
}

#[tokio::test]
async fn parts_that_do_not_fit_are_named_and_nothing_is_changed() {
    let fixture = Fixture::new().await;
    let (app, anna) = (&fixture.app, fixture.app.student("anna").await);
    let [one, two, _] = fixture.tasks;
    check(&anna, fixture.id, one).await.expect(200);
    let course = &fixture.course;
    let foreign = course.task(course.lesson("Other").await, "Foreign", true).await;
    let before = fixture.get().await;
    let task = |id: Uuid, slug: &str| json!({"id": id, "slug": slug, "title": "Task"});
    let material = |id: Uuid| json!({"id": id, "kind": "link", "title": "M", "url": "https://m.example"});
    let known = before["materials"][0]["id"].as_str().unwrap().parse().unwrap();
    for (changes, blames) in [
        (json!({"tasks": [task(one, "one"), task(new_id(), "two")]}), vec![("/tasks/1/id", "not_allowed")]),
        (json!({"tasks": [task(foreign, "one")]}), vec![("/tasks/0/id", "not_allowed")]),
        (json!({"tasks": [task(one, "one"), task(one, "two")]}), vec![("/tasks/1/id", "duplicate")]),
        (json!({"tasks": [task(one, "same"), task(two, "same")]}), vec![("/tasks/1/slug", "duplicate")]),
        (json!({"tasks": []}), vec![("/tasks", "invalid")]),
        (
            json!({"title": "New", "materials": [material(new_id()), material(known), material(known)]}),
            vec![("/materials/0/id", "not_allowed"), ("/materials/2/id", "duplicate")],
        ),
        (json!({"title": "New", "module_id": new_id()}), vec![("/module_id", "not_allowed")]),
    ] {
        let refused = patch(&fixture.admin, &fixture.path, changes).await.expect(422);
        refused.problem("invalid_body").blames(&blames);
    }
    let bad = json!({"title": "New", "materials": [{"kind": "movie", "title": "M", "url": "https://m.example"}]});
    let call = fixture.admin.patch(&fixture.path, bad).invalid().header("If-Match", "\"2\"");
    call.await.expect(422).problem("invalid_body").blames(&[("/materials/0/kind", "not_allowed")]);
    assert_eq!(fixture.get().await, before, "nothing is changed by what is refused");
    assert_eq!(app.count("SELECT count(*) FROM lesson_materials").await, 1, "not even what is deleted");
    assert_eq!(all(&lesson(&anna, fixture.id).await["tasks"], "is_checked"), [true, false, false]);

    let new = json!({"module_id": course.module, "slug": "new", "title": "New", "duration_minutes": 5, "completion": "tasks"});
    let refused = fixture.admin.post("/v1/admin/lessons", new.clone()).await.expect(422);
    refused.problem("invalid_body").blames(&[("/tasks", "invalid")]);
    let mut named = new.clone();
    named["tasks"] = json!([task(one, "one")]);
    let refused = fixture.admin.post("/v1/admin/lessons", named).await.expect(422);
    refused.problem("invalid_body").blames(&[("/tasks/0/id", "not_allowed")]);
    remove(&fixture.admin, &admin_path("modules", course.module)).await.expect(204);
    let mut homeless = new;
    homeless["completion"] = "manual".into();
    let refused = fixture.admin.post("/v1/admin/lessons", homeless).await.expect(422);
    refused.problem("invalid_body").blames(&[("/module_id", "not_allowed")]);
    app.run_jobs().await;
}

#[tokio::test]
async fn tasks_can_swap_their_slugs() {
    let fixture = Fixture::new().await;
    let mut tasks = fixture.entries().await;
    let (one, two) = (tasks[0]["slug"].clone(), tasks[1]["slug"].clone());
    (tasks[0]["slug"], tasks[1]["slug"]) = (two.clone(), one.clone());
    let swapped = fixture.set_tasks(tasks).await;
    assert_eq!(all(&swapped["tasks"], "slug")[..2], [&two, &one]);
    assert_eq!(all(&swapped["tasks"], "id")[..2], [&json!(fixture.tasks[0]), &json!(fixture.tasks[1])]);
    fixture.app.run_jobs().await;
}

#[tokio::test]
async fn a_lesson_moves_to_the_end_of_another_module() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    add_module(&app).await;
    let other = admin.post("/v1/admin/modules", json!({"slug": "other", "title": "Other"})).await.expect(201).json;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(id_of(&admin.post("/v1/admin/lessons", body(n)).await.expect(201).json));
    }
    let mut elsewhere = body(9);
    elsewhere["module_id"] = other["id"].clone();
    admin.post("/v1/admin/lessons", elsewhere).await.expect(201);
    let titles = async |query: &str| -> Vec<String> {
        let page = admin.get(&format!("/v1/admin/lessons{query}")).await.expect(200).json;
        all(&page["items"], "title").into_iter().map(|title| title.as_str().unwrap().to_owned()).collect()
    };
    let listed = admin.get("/v1/admin/lessons").await.expect(200).json;
    assert!(["body", "materials", "tasks"].iter().all(|long| listed["items"][0].get(long).is_none()), "{listed}");
    assert_eq!(titles("").await, ["Lesson 0", "Lesson 1", "Lesson 2", "Lesson 9"]);
    let moved = patch(&admin, &admin_path("lessons", ids[0]), json!({"module_id": other["id"]})).await.expect(200);
    assert_eq!((&moved.json["module_id"], &moved.json["position"]), (&other["id"], &json!(1)));
    assert_eq!(titles("").await, ["Lesson 1", "Lesson 2", "Lesson 9", "Lesson 0"]);
    assert_eq!(titles(&format!("?module_id={MODULE}")).await, ["Lesson 1", "Lesson 2"]);
    assert_eq!(titles("?publication=published").await, [""; 0]);
    assert_eq!(titles(&format!("?module_id={}", new_id())).await, [""; 0]);

    let order = |module: &str| format!("/v1/admin/modules/{module}/lessons/order");
    let put = |module: &str, ids: Vec<Uuid>| admin.put(&order(module)).json(json!({"ids": ids}));
    put(&MODULE.to_string(), vec![ids[2], ids[1]]).await.expect(204);
    assert_eq!(titles("").await, ["Lesson 2", "Lesson 1", "Lesson 9", "Lesson 0"]);
    put(&MODULE.to_string(), vec![ids[2], ids[1], ids[0]]).await.expect(409).problem("order_mismatch");
    put(&MODULE.to_string(), vec![ids[2]]).await.expect(409).problem("order_mismatch");
    put(&new_id().to_string(), vec![]).await.expect(404).problem("module_not_found");
    app.run_jobs().await;
}

/// The index for the search split a text anew for each of its words, so that this took hours.
#[tokio::test]
async fn a_text_of_the_greatest_length_is_saved_and_found() {
    let app = TestApp::new().await;
    add_module(&app).await;
    let admin = app.admin("root").await;
    let words: Vec<String> = (0..12_500).map(|n| format!("w{n:06}")).collect();
    let mut lesson = body(1);
    lesson["body"] = words.join(" ").into();
    admin.post("/v1/admin/lessons", lesson).await.expect(201);
    sqlx::query("UPDATE lessons SET publication = 'published'").execute(app.app.pool()).await.unwrap();
    let hits = admin.get("/v1/search?q=w012499").await.expect(200).json;
    assert_eq!(hits["items"][0]["slug"], "lesson-1", "{hits}");
    app.run_jobs().await;
}
