//! Prompts and their steps.

use cairn_core::admin::verify::{Mode, verify};
use poem::http::Method;
use serde_json::{Value, json};

use super::{at_once, create, delete, id, listed, one_of_many_is_created, patch, publish};
use crate::support::crud::{Case, crud_contract};
use crate::support::{Actor, TestApp};

pub(super) const PATH: &str = "/v1/admin/prompts";
/// The category of [`prompt`].
pub(super) const CATEGORY: &str = "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d01";

/// Adds the category of [`prompt`].
pub(super) async fn add_category(app: &TestApp) {
    let insert =
        format!("INSERT INTO prompt_categories (id, slug, name, kind) VALUES ('{CATEGORY}', 'home', 'Home', 'design')");
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(app.app.pool()).await.unwrap();
}

pub(super) fn prompt(n: usize) -> Value {
    json!({
        "slug": format!("prompt-{n}"),
        "title": format!("Prompt {n}"),
        "category_id": CATEGORY,
        "body": "Build a page.",
        "tags": ["page"],
        "steps": [{"title": "One", "body": "Begin."}, {"title": "Two", "body": "Go on."}],
    })
}

#[tokio::test]
async fn prompts_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let too_many: Vec<Value> = (0..101).map(|_| json!({"title": "x", "body": "x"})).collect();
    let case = Case {
        noun: "prompt",
        path: PATH,
        learners: Some("/v1/prompts"),
        body: prompt,
        unique: "slug",
        changed: ("title", json!("Ask for a page")),
        cleared: None,
        refused: vec![
            (json!({"slug": "Not a slug"}), vec![("/slug", "malformed")]),
            (json!({"title": "x".repeat(201)}), vec![("/title", "too_long")]),
            (json!({"body": ""}), vec![("/body", "too_short")]),
            (json!({"description": "x".repeat(5001)}), vec![("/description", "too_long")]),
            (json!({"category_id": "none"}), vec![("/category_id", "malformed")]),
            (json!({"category_id": null}), vec![("/category_id", "wrong_type")]),
            (json!({"category_id": "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5dff"}), vec![("/category_id", "invalid")]),
            (json!({"steps": null}), vec![("/steps", "wrong_type")]),
            (json!({"steps": too_many}), vec![("/steps", "too_many")]),
            (
                json!({"steps": [{"title": "", "body": "x"}, {"titel": "x"}]}),
                vec![
                    ("/steps/0/title", "too_short"),
                    ("/steps/1/title", "required"),
                    ("/steps/1/body", "required"),
                    ("/steps/1/titel", "unknown"),
                ],
            ),
        ],
        ordered: false,
    };
    crud_contract(&app, case).await;
}

fn step(id: &Value, title: &str, body: &str) -> Value {
    json!({ "id": id, "title": title, "body": body })
}

#[tokio::test]
async fn steps_are_edited_by_their_ids() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let mut body = prompt(1);
    body["steps"] = json!([{"title": "A", "body": "a"}, {"title": "B", "body": "b"}, {"title": "C", "body": "c"}]);
    let created = create(&admin, PATH, body).await;
    let [a, b, c] = &created["steps"].as_array().unwrap()[..] else { panic!("{created}") };
    assert_eq!((&a["title"], &b["body"], created["version"].as_i64()), (&json!("A"), &json!("b"), Some(1)));

    let steps = json!([
        step(&c["id"], "C", "c"),
        {"title": "New", "body": "n"},
        step(&a["id"], "A", "another text"),
    ]);
    let edited = patch(&admin, PATH, &created, json!({ "steps": steps })).await.expect(200).json;
    assert_eq!(edited["version"], 2, "a change of the steps alone is a change of the prompt");
    assert!(edited["updated_at"].as_str() > created["updated_at"].as_str());
    let new = &edited["steps"][1];
    assert!([a, b, c].iter().all(|old| old["id"] != new["id"]));
    let expected = json!([c, step(&new["id"], "New", "n"), step(&a["id"], "A", "another text")]);
    assert_eq!(edited["steps"], expected);
    let again = patch(&admin, PATH, &edited, json!({ "steps": expected })).await.expect(200).json;
    assert_eq!(again, edited, "steps that are so already are no change");
    let renamed = patch(&admin, PATH, &edited, json!({ "title": "Other" })).await.expect(200).json;
    assert_eq!(renamed["steps"], expected, "what is left out stays");

    publish(&admin, PATH, &renamed).await;
    let seen = anna.get(&format!("/v1/prompts/{}", id(&created))).await.expect(200).json;
    assert_eq!(seen["steps"], expected, "learners see them in the same order");
    assert_eq!(anna.get("/v1/prompts").await.expect(200).json["items"][0]["steps_count"], 3);
    let kept = "SELECT count(*) FROM prompt_steps WHERE title = 'B' AND deleted_at IS NOT NULL";
    assert_eq!(app.count(kept).await, 1, "a step that was left out is deleted, not destroyed");

    app.run_jobs().await;
    let recorded: Value = sqlx::query_scalar(
        "SELECT metadata FROM activity_log WHERE action = 'prompt.updated' ORDER BY occurred_at, id LIMIT 1",
    )
    .fetch_one(app.app.pool())
    .await
    .unwrap();
    assert_eq!(recorded, json!({"before": {"steps": created["steps"]}, "after": {"steps": expected}}));
}

#[tokio::test]
async fn steps_that_are_not_the_prompts_own_are_refused() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let admin = app.admin("root").await;
    let (first, second) = (create(&admin, PATH, prompt(1)).await, create(&admin, PATH, prompt(2)).await);
    let (own, foreign) = (&first["steps"][0]["id"], &second["steps"][0]["id"]);
    let trimmed = json!({ "steps": [step(own, "One", "Begin.")] });
    let removed = &first["steps"][1]["id"];
    let first = patch(&admin, PATH, &first, trimmed).await.expect(200).json;
    for other in [foreign, removed, &json!(CATEGORY), own] {
        let steps = json!([step(own, "One", "Begin."), step(other, "Two", "Changed.")]);
        let call = patch(&admin, PATH, &first, json!({ "title": "Other", "steps": steps }));
        call.await.expect(422).problem("invalid_body").blames(&[("/steps/1/id", "invalid")]);
    }
    let mut body = prompt(3);
    body["steps"] = json!([step(foreign, "Taken over", "x")]);
    let refused = admin.post(PATH, body).await.expect(422);
    refused.problem("invalid_body").blames(&[("/steps/0/id", "invalid")]);
    for seen in [&first, &second] {
        assert_eq!(admin.get(&format!("{PATH}/{}", id(seen))).await.expect(200).json, *seen, "nothing was changed");
    }
    assert_eq!(app.count("SELECT count(*) FROM prompts").await, 2);
    let emptied = patch(&admin, PATH, &first, json!({ "steps": [] })).await.expect(200).json;
    assert_eq!(emptied["steps"], json!([]));
    app.run_jobs().await;
}

#[tokio::test]
async fn of_two_editors_of_the_steps_one_is_told_to_look_again() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let admin = app.admin("root").await;
    let mut seen = create(&admin, PATH, prompt(1)).await;
    for round in 0..5 {
        let (one, two) = (&seen["steps"][0], &seen["steps"][1]);
        let orders = [json!([two, one]), json!([one, two, {"title": format!("Round {round}"), "body": "x"}])];
        let calls: Vec<_> = orders.iter().map(|steps| patch(&admin, PATH, &seen, json!({ "steps": steps }))).collect();
        let replies = at_once(calls.into_iter()).await;
        let (accepted, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        let ([accepted], [refused]) = (&accepted[..], &refused[..]) else { panic!("{accepted:?} {refused:?}") };
        assert_eq!((refused.status.as_u16(), &refused.json["code"]), (412, &json!("version_mismatch")));
        assert_eq!(accepted.json["version"].as_i64(), seen["version"].as_i64().map(|version| version + 1));
        seen = admin.get(&format!("{PATH}/{}", id(&seen))).await.expect(200).json;
        assert_eq!(seen, accepted.json);
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn a_prompt_belongs_to_a_category_that_exists() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let categories = "/v1/admin/prompt-categories";
    let other = create(&admin, categories, json!({"slug": "other", "name": "Other", "kind": "research"})).await;
    let gone = create(&admin, categories, json!({"slug": "gone", "name": "Gone", "kind": "research"})).await;
    delete(&admin, categories, &gone).await.expect(204);
    let created = create(&admin, PATH, prompt(1)).await;
    let seen = publish(&admin, PATH, &created).await;
    for category in [&gone["id"], &seen["id"]] {
        let call = patch(&admin, PATH, &seen, json!({ "category_id": category })).await.expect(422);
        call.problem("invalid_body").blames(&[("/category_id", "invalid")]);
        let mut body = prompt(2);
        body["category_id"] = category.clone();
        let call = admin.post(PATH, body).await.expect(422);
        call.problem("invalid_body").blames(&[("/category_id", "invalid")]);
    }
    let moved = patch(&admin, PATH, &seen, json!({ "category_id": other["id"] })).await.expect(200).json;
    assert_eq!(moved["category_id"], other["id"]);
    let in_category = async |actor: &Actor, path: &str, category: &str| {
        listed(actor, &format!("{path}?category_id={category}"), "slug").await
    };
    for (actor, path) in [(&anna, "/v1/prompts"), (&admin, PATH)] {
        assert_eq!(in_category(actor, path, CATEGORY).await, [""; 0]);
        assert_eq!(in_category(actor, path, id(&other)).await, ["prompt-1"]);
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn prompts_of_a_deleted_category_are_out_of_sight() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let created = create(&admin, PATH, prompt(1)).await;
    publish(&admin, PATH, &created).await;
    let path = format!("/v1/prompts/{}", id(&created));
    anna.get(&path).await.expect(200);
    // By hand, as an operation refuses it.
    sqlx::raw_sql("UPDATE prompt_categories SET deleted_at = now()").execute(app.app.pool()).await.unwrap();
    assert_eq!(listed(&anna, "/v1/prompts", "slug").await, [""; 0]);
    assert_eq!(listed(&anna, "/v1/prompt-categories", "slug").await, [""; 0]);
    anna.get(&path).await.expect(404).problem("prompt_not_found");
    anna.call(Method::POST, &format!("{path}/copies")).await.expect(404).problem("prompt_not_found");
    anna.put(&format!("{path}/favorite")).await.expect(404).problem("prompt_not_found");
    anna.delete(&format!("{path}/favorite")).await.expect(404).problem("prompt_not_found");
    app.run_jobs().await;
}

#[tokio::test]
async fn learners_filter_prompts_and_see_summaries_in_lists() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    for (n, title, tags) in [
        (1, "Сетка страницы", json!(["css", "grid"])),
        (2, "Сетевой запрос", json!(["http"])),
        (3, "Width", json!(["css"])),
        (4, "Words", json!([])),
    ] {
        let mut body = prompt(n);
        body["title"] = title.into();
        body["tags"] = tags;
        body["description"] = "d".repeat(5000).into();
        let created = create(&admin, PATH, body).await;
        publish(&admin, PATH, &created).await;
    }
    let slugs = async |query: &str| listed(&anna, &format!("/v1/prompts{query}"), "slug").await;
    assert_eq!(slugs("").await, ["prompt-1", "prompt-2", "prompt-3", "prompt-4"]);
    assert_eq!(slugs("?tag=css").await, ["prompt-1", "prompt-3"]);
    assert_eq!(slugs("?tag=css&tag=grid").await, ["prompt-1"]);
    assert_eq!(slugs(&format!("?category_id={CATEGORY}&limit=1")).await, ["prompt-1"]);
    assert_eq!(slugs(&format!("?category_id={}", anna.id)).await, [""; 0]);
    let item = anna.get("/v1/prompts").await.expect(200).json["items"][0].clone();
    assert_eq!(item["summary"].as_str().unwrap().len(), 300);
    for long in ["body", "description", "steps"] {
        assert!(item.get(long).is_none(), "{item}");
        let listed = admin.get(PATH).await.expect(200).json["items"][0].clone();
        assert!(listed.get(long).is_none(), "{listed}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn copies_are_counted_once_each_and_do_not_change_the_version() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let created = create(&admin, PATH, prompt(1)).await;
    let path = format!("/v1/prompts/{}", id(&created));
    let copy = || anna.call(Method::POST, &format!("{path}/copies"));
    copy().await.expect(404).problem("prompt_not_found");
    publish(&admin, PATH, &created).await;
    for reply in at_once((0..6).map(|_| copy())).await {
        reply.expect(204);
    }
    assert_eq!(app.count("SELECT copy_count::bigint FROM prompts").await, 0, "no request writes the shared row");
    app.run_jobs().await;
    // Uses that were recorded while others were, and enqueued nothing, are left to the reconciler.
    sqlx::raw_sql("SELECT roll_up_uses('prompt', id) FROM prompts").execute(app.app.pool()).await.unwrap();
    assert_eq!(anna.get(&path).await.expect(200).json["copy_count"], 6);
    copy().await.expect(204);
    app.run_jobs().await;
    assert_eq!(anna.get("/v1/prompts").await.expect(200).json["items"][0]["copy_count"], 7);
    let seen = admin.get(&format!("{PATH}/{}", id(&created))).await.expect(200);
    assert_eq!((&seen.json["copy_count"], seen.header("etag")), (&json!(7), "\"2\""));
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'prompt.copied'").await, 7);
    let report = verify(app.app.pool(), Mode::Strict).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test]
async fn prompts_are_ordered_within_their_category() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let admin = app.admin("root").await;
    let categories = "/v1/admin/prompt-categories";
    let other = create(&admin, categories, json!({"slug": "other", "name": "Other", "kind": "research"})).await;
    let mut body = prompt(9);
    body["category_id"] = other["id"].clone();
    let outside = create(&admin, PATH, body).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(create(&admin, PATH, prompt(n)).await["id"].clone());
    }
    ids.swap(0, 3);
    let path = |category: &str| format!("{categories}/{category}/prompts/order");
    let put = |ids: &[Value]| admin.put(&path(CATEGORY)).json(json!({ "ids": ids }));
    put(&ids[1..]).await.expect(409).problem("order_mismatch");
    put(&[&ids[..], &[outside["id"].clone()]].concat()).await.expect(409).problem("order_mismatch");
    put(&ids).await.expect(204);
    put(&ids).await.expect(204);
    let listed = listed(&admin, &format!("{PATH}?category_id={CATEGORY}"), "id").await;
    assert_eq!(listed, ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>());
    assert_eq!(admin.get(&format!("{PATH}/{}", id(&outside))).await.expect(200).json, outside);
    let unknown = admin.put(&path(id(&outside))).json(json!({ "ids": [] })).await;
    unknown.expect(404).problem("prompt_category_not_found");
    delete(&admin, PATH, &outside).await.expect(204);
    delete(&admin, categories, &other).await.expect(204);
    let deleted = admin.put(&path(id(&other))).json(json!({ "ids": [] })).await;
    deleted.expect(404).problem("prompt_category_not_found");
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'prompt.reordered'").await, 1);
}

#[tokio::test]
async fn of_several_prompts_with_one_slug_one_is_created() {
    let app = TestApp::new().await;
    add_category(&app).await;
    one_of_many_is_created(&app.admin("root").await, PATH, &prompt(1)).await;
    assert_eq!(app.count("SELECT count(*) FROM prompt_steps").await, 2);
    app.run_jobs().await;
}
