//! Favorites.

use serde_json::{Value, json};

use super::prompts::{CATEGORY, PATH, add_category, prompt};
use super::{act, at_once, create, delete, id, listed, publish};
use crate::support::{Actor, TestApp};

const FAVORITES: &str = "/v1/me/favorites";

fn favorite(prompt: &Value) -> String {
    format!("/v1/prompts/{}/favorite", id(prompt))
}

/// A published prompt.
async fn add(admin: &Actor, n: usize) -> Value {
    let created = create(admin, PATH, prompt(n)).await;
    publish(admin, PATH, &created).await
}

#[tokio::test]
async fn a_favorite_is_recorded_once_and_is_its_owners_own() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    let one = add(&admin, 1).await;
    let path = favorite(&one);
    let answer = |is_favorite: bool, is_changed: bool| json!({ "prompt_id": one["id"], "is_favorite": is_favorite, "is_changed": is_changed });
    assert_eq!(anna.delete(&path).await.expect(200).json, answer(false, false));
    assert_eq!(anna.put(&path).await.expect(200).json, answer(true, true));
    assert_eq!(anna.put(&path).await.expect(200).json, answer(true, false));
    let seen = async |actor: &Actor| {
        let whole = actor.get(&format!("/v1/prompts/{}", id(&one))).await.expect(200).json["is_favorite"].clone();
        assert_eq!(actor.get("/v1/prompts").await.expect(200).json["items"][0]["is_favorite"], whole);
        whole.as_bool().unwrap()
    };
    assert_eq!((seen(&anna).await, seen(&ben).await), (true, false));
    assert_eq!(listed(&anna, FAVORITES, "slug").await, ["prompt-1"]);
    assert_eq!(listed(&ben, FAVORITES, "slug").await, [""; 0]);
    let version = admin.get(&format!("{PATH}/{}", id(&one))).await.expect(200).json["version"].clone();
    assert_eq!(version, one["version"], "a favorite is no edit");
    assert_eq!(anna.delete(&path).await.expect(200).json, answer(false, true));
    assert_eq!(anna.delete(&path).await.expect(200).json, answer(false, false));
    assert!(!seen(&anna).await);
    assert_eq!(listed(&anna, FAVORITES, "slug").await, [""; 0]);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'prompt.favorited'").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'prompt.unfavorited'").await, 1);
    let unknown = format!("/v1/prompts/{}/favorite", anna.id);
    anna.put(&unknown).await.expect(404).problem("prompt_not_found");
    anna.delete(&unknown).await.expect(404).problem("prompt_not_found");
}

#[tokio::test]
async fn a_prompt_that_is_hidden_leaves_the_favorites_until_it_is_shown_again() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let draft = create(&admin, PATH, prompt(1)).await;
    anna.put(&favorite(&draft)).await.expect(404).problem("prompt_not_found");
    let one = publish(&admin, PATH, &draft).await;
    anna.put(&favorite(&one)).await.expect(200);
    let favorites = async || listed(&anna, FAVORITES, "slug").await;

    let archived = act(&admin, PATH, &one, "archive").await.expect(200).json;
    assert_eq!(favorites().await, [""; 0]);
    anna.delete(&favorite(&one)).await.expect(404).problem("prompt_not_found");
    let shown = publish(&admin, PATH, &archived).await;
    assert_eq!(favorites().await, ["prompt-1"]);

    delete(&admin, PATH, &shown).await.expect(204);
    assert_eq!(favorites().await, [""; 0]);
    let deleted = admin.get(&format!("{PATH}/{}", id(&one))).await.expect(200).json;
    act(&admin, PATH, &deleted, "restore").await.expect(200);
    assert_eq!(favorites().await, ["prompt-1"]);

    for (deleted_at, expected) in [("now()", &[][..]), ("NULL", &["prompt-1"])] {
        let change = format!("UPDATE prompt_categories SET deleted_at = {deleted_at} WHERE id = '{CATEGORY}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(app.app.pool()).await.unwrap();
        assert_eq!(favorites().await, expected);
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn favorites_are_paged_the_latest_first_while_others_are_added() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    for n in 0..6 {
        let added = add(&admin, n).await;
        anna.put(&favorite(&added)).await.expect(200);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = anna.get(&format!("{FAVORITES}?limit=2{cursor}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        let added = add(&admin, 10 + seen.len()).await;
        anna.put(&favorite(&added)).await.expect(200);
    }
    assert_eq!(seen, ["prompt-5", "prompt-4", "prompt-3", "prompt-2", "prompt-1", "prompt-0"]);
    app.run_jobs().await;
}

#[tokio::test]
async fn two_favorites_at_once_are_one() {
    let app = TestApp::new().await;
    add_category(&app).await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let one = add(&admin, 1).await;
    let changed = |replies: Vec<crate::support::Reply>| {
        replies.into_iter().filter(|reply| reply.json["is_changed"].as_bool().unwrap()).count()
    };
    assert_eq!(changed(at_once((0..6).map(|_| anna.put(&favorite(&one)))).await), 1);
    assert_eq!(app.count("SELECT count(*) FROM user_prompt_favorites").await, 1);
    assert_eq!(changed(at_once((0..6).map(|_| anna.delete(&favorite(&one)))).await), 1);
    assert_eq!(app.count("SELECT count(*) FROM user_prompt_favorites").await, 0);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action LIKE 'prompt.%favorited'").await, 2);
}
