//! How large answers can be, and how much one user can own.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_core::bounds::Owned;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::contract::{DOCUMENT, operations};
use crate::support::{Reply, TestApp};

/// A text that may be longer than this many characters is long.
const LONG: u64 = 2000;

/// Lists whose items have long texts, because they are about them. Their pages end early (`PageRequest::answer_within`), or are
/// as long as the platform says.
const LISTS_OF_TEXTS: [&str; 9] = [
    "listActiveInstructions", // one for each tool
    "listAdminStyles",
    "listAdminTerms",
    "listChatMessages",
    "listEvaluationAnswers", // ends early
    "listInstructions",
    // Shows the first 200 characters of questions.
    "listMentorQuestions",
    "listToolMessages",
    // Has fragments called `text`, of a few words each.
    "search",
];

fn resolve(schema: &'static Value) -> &'static Value {
    schema["$ref"].as_str().map_or(schema, |reference| DOCUMENT.pointer(&reference[1..]).unwrap())
}

/// Calls `visit` with the members of a schema, at any depth.
fn members(schema: &'static Value, visit: &mut impl FnMut(&'static str, &'static Value)) {
    let schema = resolve(schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        visit(name, member);
        members(member, visit);
    }
    for part in ["allOf", "anyOf", "oneOf"].iter().filter_map(|name| schema[name].as_array()).flatten() {
        members(part, visit);
    }
    if schema["items"].is_object() {
        members(&schema["items"], visit);
    }
}

/// The members that clients may write long texts into, by name: responses show them under the same.
fn long_members() -> BTreeSet<&'static str> {
    let mut long = BTreeSet::new();
    for operation in operations() {
        let content = operation.description()["requestBody"]["content"].as_object();
        for (_, media) in content.into_iter().flatten() {
            members(&media["schema"], &mut |name, member| {
                if member["maxLength"].as_u64().is_some_and(|length| length > LONG) {
                    long.insert(name);
                }
            });
        }
    }
    long
}

#[test]
fn lists_have_no_long_texts_unless_they_are_about_them() {
    let long = long_members();
    assert!(long.contains("body") && long.contains("content"), "{long:?}");
    let mut lists = BTreeSet::new();
    for operation in operations() {
        let schema = &operation.description()["responses"]["200"]["content"]["application/json"]["schema"];
        let items = &resolve(schema)["properties"]["items"]["items"];
        if items.is_object() {
            members(items, &mut |name, member| {
                if long.contains(name) && resolve(member)["type"] == "string" && name != "description" {
                    lists.insert(operation.id.clone());
                }
            });
        }
    }
    assert_eq!(lists, LISTS_OF_TEXTS.map(str::to_owned).into());
}

#[tokio::test]
async fn a_page_of_long_messages_ends_early() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    sqlx::query(
        "WITH chat AS (INSERT INTO tool_chats (user_id, tool_type) VALUES ($1, 'ideas') RETURNING id)
         INSERT INTO tool_messages (chat_id, role, content, created_at)
         SELECT id, 'user', n || repeat('x', 80000), now() + make_interval(secs => n) FROM chat, generate_series(1, 20) n",
    )
    .bind(anna.id)
    .execute(app.app.pool())
    .await
    .unwrap();
    let (mut numbers, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = anna.get(&format!("/v1/tools/ideas/messages?limit=100{cursor}")).await.expect(200);
        assert!(page.text.len() < 300_000, "{}", page.text.len());
        for message in page.json["items"].as_array().unwrap() {
            numbers.push(message["content"].as_str().unwrap().trim_end_matches('x').parse::<i32>().unwrap());
        }
        pages += 1;
        let Some(next) = page.json["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((pages, numbers), (7, (1..=20).rev().collect()));
}

async fn add_projects(app: &TestApp, user: uuid::Uuid, count: i64, deleted: bool) {
    sqlx::query(
        "INSERT INTO showcase_projects (user_id, title, deleted_at)
         SELECT $1, 'P', CASE WHEN $3 THEN now() END FROM generate_series(1, $2) n",
    )
    .bind(user)
    .bind(count)
    .bind(deleted)
    .execute(app.app.pool())
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_more_projects_than_they_may_have() {
    let app = TestApp::new().await;
    let (anna, berta) = (app.student("anna").await, app.student("berta").await);
    let limit = Owned::Projects.limit();
    add_projects(&app, anna.id, limit - 2, false).await;
    let barrier = Arc::new(Barrier::new(8));
    let creations = (0..8).map(|n| {
        let (anna, barrier) = (anna.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            anna.post("/v1/projects", json!({"title": format!("Project {n}"), "is_draft": true})).await
        })
    });
    let replies: Vec<Reply> = join_all(creations).await.into_iter().map(Result::unwrap).collect();
    let (created, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 201);
    assert_eq!((created.len(), refused.len()), (2, 6));
    for reply in refused {
        assert_eq!(reply.expect(409).problem("limit_reached").json["limit"], limit);
    }
    // Who deletes one can create one, and others are not affected.
    let id = created[0].json["id"].as_str().unwrap().to_owned();
    let version = created[0].header("etag").to_owned();
    anna.delete(&format!("/v1/projects/{id}")).header("If-Match", &version).await.expect(204);
    anna.post("/v1/projects", json!({"title": "Another"})).await.expect(201);
    anna.post("/v1/projects", json!({"title": "One more"})).await.expect(409).problem("limit_reached");
    berta.post("/v1/projects", json!({"title": "First"})).await.expect(201);
    app.run_jobs().await;
}

#[tokio::test]
async fn deleting_projects_does_not_allow_any_number() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    add_projects(&app, anna.id, Owned::ProjectsEver.limit(), true).await;
    let refused = anna.post("/v1/projects", json!({"title": "One more"})).await.expect(409).problem("limit_reached");
    assert_eq!(refused.json["limit"], 1000);
}

#[tokio::test]
async fn nobody_has_more_favorites_than_they_may_have() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    sqlx::raw_sql(
        "INSERT INTO prompt_categories (slug, name, kind) VALUES ('cc', 'C', 'design');
         INSERT INTO prompts (id, category_id, slug, title, body, publication)
             SELECT md5('p' || n)::uuid, c.id, 'prompt-' || n, 'P', 'B', 'published' FROM prompt_categories c, generate_series(1, 1001) n;
         INSERT INTO user_prompt_favorites (user_id, prompt_id)
             SELECT u.id, p.id FROM users u, prompts p WHERE p.slug NOT IN ('prompt-1', 'prompt-2')",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM prompts WHERE slug IN ('prompt-1', 'prompt-2') ORDER BY slug")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let [first, second] = [ids[0], ids[1]];
    anna.put(&format!("/v1/prompts/{first}/favorite")).await.expect(200);
    let refused = anna.put(&format!("/v1/prompts/{second}/favorite")).await.expect(409).problem("limit_reached");
    assert_eq!(refused.json["limit"], 1000);
    let again = anna.put(&format!("/v1/prompts/{first}/favorite")).await.expect(200);
    assert_eq!(again.json["is_changed"], false);
    anna.delete(&format!("/v1/prompts/{first}/favorite")).await.expect(200);
    anna.put(&format!("/v1/prompts/{second}/favorite")).await.expect(200);
    app.run_jobs().await;
}
