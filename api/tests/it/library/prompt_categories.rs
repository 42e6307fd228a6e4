//! Categories of prompts.

use serde_json::{Value, json};

use super::{act, at_once, create, delete, id, listed, one_of_many_is_created, patch, publish};
use crate::support::TestApp;
use crate::support::crud::{Case, crud_contract};

const PATH: &str = "/v1/admin/prompt-categories";
const PROMPTS: &str = "/v1/admin/prompts";

fn category(n: usize) -> Value {
    json!({ "slug": format!("category-{n}"), "name": format!("Category {n}"), "kind": "design" })
}

fn prompt(n: usize, category: &Value) -> Value {
    json!({ "slug": format!("prompt-{n}"), "title": format!("Prompt {n}"), "body": "Do it.", "category_id": id(category) })
}

#[tokio::test]
async fn categories_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let case = Case {
        noun: "prompt_category",
        path: PATH,
        learners: None,
        body: category,
        unique: "slug",
        changed: ("color", json!("#ff8800")),
        cleared: None,
        refused: vec![
            (json!({"slug": "-"}), vec![("/slug", "too_short"), ("/slug", "malformed")]),
            (json!({"name": ""}), vec![("/name", "too_short")]),
            (json!({"name": "x".repeat(101)}), vec![("/name", "too_long")]),
            (json!({"kind": "magic"}), vec![("/kind", "not_allowed")]),
            (json!({"color": "#FF8800"}), vec![("/color", "malformed")]),
            (json!({"color": "red"}), vec![("/color", "malformed")]),
            (json!({"position": "first"}), vec![("/position", "wrong_type")]),
        ],
        ordered: true,
    };
    crud_contract(&app, case).await;
}

#[tokio::test]
async fn learners_see_how_many_prompts_are_published_in_each_category() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let (first, second) = (create(&admin, PATH, category(1)).await, create(&admin, PATH, category(2)).await);
    let mut prompts = Vec::new();
    for (n, category) in [(1, &first), (2, &first), (3, &first), (4, &second)] {
        prompts.push(create(&admin, PROMPTS, prompt(n, category)).await);
    }
    let counts = async || -> Vec<i64> {
        let page = anna.get("/v1/prompt-categories").await.expect(200).json;
        page["items"].as_array().unwrap().iter().map(|item| item["prompts_count"].as_i64().unwrap()).collect()
    };
    assert_eq!(counts().await, [0, 0], "drafts do not count");
    for prompt in &mut prompts {
        *prompt = publish(&admin, PROMPTS, prompt).await;
    }
    assert_eq!(counts().await, [3, 1]);
    delete(&admin, PROMPTS, &prompts[0]).await.expect(204);
    act(&admin, PROMPTS, &prompts[1], "archive").await.expect(200);
    assert_eq!(counts().await, [1, 1]);
    delete(&admin, PROMPTS, &prompts[3]).await.expect(204);
    delete(&admin, PATH, &second).await.expect(204);
    assert_eq!(counts().await, [1]);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_category_with_prompts_is_not_deleted() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let category = create(&admin, PATH, category(1)).await;
    let draft = create(&admin, PROMPTS, prompt(1, &category)).await;
    let other = create(&admin, PROMPTS, prompt(2, &category)).await;
    let refused = delete(&admin, PATH, &category).await.expect(409).problem("resource_in_use");
    assert_eq!(refused.json["dependents_count"], 2);
    assert_eq!(admin.get(&format!("{PATH}/{}", id(&category))).await.expect(200).json, category);
    delete(&admin, PROMPTS, &draft).await.expect(204);
    delete(&admin, PROMPTS, &other).await.expect(204);
    delete(&admin, PATH, &category).await.expect(204);

    let read = async |path: &str, row: &Value| admin.get(&format!("{path}/{}", id(row))).await.expect(200).json;
    let (draft, category) = (read(PROMPTS, &draft).await, read(PATH, &category).await);
    act(&admin, PROMPTS, &draft, "restore").await.expect(409).problem("parent_deleted");
    act(&admin, PATH, &category, "restore").await.expect(200);
    act(&admin, PROMPTS, &draft, "restore").await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn the_name_of_a_deleted_category_can_be_used_again() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let named = |slug: &str, name: &str| json!({ "slug": slug, "name": name, "kind": "design" });
    let first = create(&admin, PATH, named("first", "Дизайн и вёрстка")).await;
    let taken = admin.post(PATH, named("second", "ДИЗАЙН И ВЕРСТКА")).await.expect(409);
    taken.problem("value_taken").blames(&[("/name", "taken")]);
    delete(&admin, PATH, &first).await.expect(204);
    let second = create(&admin, PATH, named("second", "ДИЗАЙН И ВЕРСТКА")).await;
    let first = admin.get(&format!("{PATH}/{}", id(&first))).await.expect(200).json;
    let restore = act(&admin, PATH, &first, "restore").await.expect(409);
    restore.problem("value_taken").blames(&[("/name", "taken")]);
    patch(&admin, PATH, &second, json!({"name": "Design"})).await.expect(200);
    act(&admin, PATH, &first, "restore").await.expect(200);
    assert_eq!(listed(&admin, PATH, "slug").await, ["first", "second"]);
    app.run_jobs().await;
}

#[tokio::test]
async fn a_prompt_never_ends_up_in_a_category_that_is_deleted_at_the_same_time() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let home = create(&admin, PATH, category(0)).await;
    for round in 1..15 {
        let doomed = create(&admin, PATH, category(round)).await;
        let moved = create(&admin, PROMPTS, prompt(round * 10, &home)).await;
        let calls = [
            delete(&admin, PATH, &doomed),
            admin.post(PROMPTS, prompt(round * 10 + 1, &doomed)),
            patch(&admin, PROMPTS, &moved, json!({ "category_id": id(&doomed) })),
        ];
        for reply in at_once(calls.into_iter()).await {
            match reply.status.as_u16() {
                200 | 201 | 204 => {}
                409 => drop(reply.problem("resource_in_use")),
                _ => drop(reply.expect(422).problem("invalid_body").blames(&[("/category_id", "invalid")])),
            }
        }
        let lost = "SELECT count(*) FROM prompts p JOIN prompt_categories c ON c.id = p.category_id
                    WHERE p.deleted_at IS NULL AND c.deleted_at IS NOT NULL";
        assert_eq!(app.count(lost).await, 0, "round {round}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn of_several_categories_with_one_slug_one_is_created() {
    let app = TestApp::new().await;
    one_of_many_is_created(&app.admin("root").await, PATH, &category(1)).await;
    app.run_jobs().await;
}
