//! Workers.

use serde_json::{Value, json};

use super::with_jobs;

#[tokio::test]
async fn workers_tell_what_they_hold() {
    let (_app, ada) = with_jobs().await;
    let page = ada.get("/v1/admin/workers?limit=1").await.expect(200).json;
    assert_eq!(page["items"][0]["name"], "likes-w");
    assert_eq!((&page["items"][0]["held"], &page["items"][0]["is_alive"]), (&json!(1), &json!(true)));
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = ada.get(&format!("/v1/admin/workers?limit=1&cursor={cursor}")).await.expect(200).json;
    assert_eq!((&page["items"][0]["name"], &page["next_cursor"]), (&json!("replies-w"), &Value::Null));
    ada.get("/v1/admin/workers?cursor=WyJ4IiwyXQ").await.expect(400).blames(&[("cursor", "malformed")]);
    ada.get("/v1/admin/workers?cursor=IlxcdTAwMDAi").await.expect(200);
    ada.get("/v1/admin/workers?cursor=Ilx1MDAwMCI").await.expect(400).blames(&[("cursor", "malformed")]);
}
