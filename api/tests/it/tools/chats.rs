//! The learners' chats, for admins.

use uuid::Uuid;

use super::{ASSISTANT, IDEAS, TZ_HELPER, ask, asked};
use crate::support::TestApp;

#[tokio::test]
async fn chats_are_listed_the_last_used_first_and_read() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    for (actor, path) in [(&anna, ASSISTANT), (&ben, ASSISTANT), (&anna, IDEAS), (&ben, TZ_HELPER), (&anna, TZ_HELPER)]
    {
        asked(actor, path, "Hello?").await;
        app.run_jobs().await;
    }
    ask(&anna, ASSISTANT, "And now?").await.expect(202);
    app.run_jobs().await;
    let list = async |query: &str| {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ada.get(&format!("/v1/admin/chats?limit=2{query}{cursor}")).await.expect(200).json;
            for item in page["items"].as_array().unwrap() {
                let (name, tool) = (item["user"]["first_name"].as_str(), item["tool_type"].as_str());
                seen.push(format!("{} {} {}", name.unwrap(), tool.unwrap(), item["messages"]));
            }
            let Some(next) = page["next_cursor"].as_str() else { return seen };
            cursor = format!("&cursor={next}");
        }
    };
    let all = ["anna assistant 4", "anna tz_helper 2", "ben tz_helper 2", "anna ideas 2", "ben assistant 2"];
    assert_eq!(list("").await, all);
    assert_eq!(list("&tool_type=assistant").await, ["anna assistant 4", "ben assistant 2"]);
    let of_anna = format!("&user_id={}", anna.id);
    assert_eq!(list(&of_anna).await, ["anna assistant 4", "anna tz_helper 2", "anna ideas 2"]);
    assert_eq!(list(&format!("{of_anna}&tool_type=ideas")).await, ["anna ideas 2"]);
    assert_eq!(list(&format!("&user_id={}", ada.id)).await, [""; 0]);
    let chat = ada.get("/v1/admin/chats?limit=1").await.json["items"][0].clone();
    let path = format!("/v1/admin/chats/{}", chat["id"].as_str().unwrap());
    assert_eq!(ada.get(&path).await.expect(200).json, chat);
    let messages = ada.get(&format!("{path}/messages")).await.expect(200).json;
    assert_eq!(messages, anna.get(ASSISTANT).await.expect(200).json);
    let first = ada.get(&format!("{path}/messages?limit=3")).await.expect(200).json;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = ada.get(&format!("{path}/messages?limit=3&cursor={cursor}")).await.expect(200).json;
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    for missing in ["", "/messages"] {
        let path = format!("/v1/admin/chats/{}{missing}", Uuid::from_u128(1));
        ada.get(&path).await.expect(404).problem("chat_not_found");
    }
    ada.get("/v1/admin/chats?tool_type=x").invalid().await.expect(400);
    ada.get("/v1/admin/chats?user_id=x").invalid().await.expect(400);
    // What was refused or read is recorded.
    app.run_jobs().await;
}
