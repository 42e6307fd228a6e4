//! Questions for which the platform has no content.

use serde_json::{Value, json};

use super::{ASSISTANT, IDEAS, asked, begin, complete};
use crate::support::TestApp;

#[tokio::test]
async fn questions_without_content_are_grouped_by_what_was_looked_for() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    let ask = async |actor, path, question| {
        let id = asked(actor, path, question).await;
        complete(&app, &begin(&app, id).await.unwrap(), "I do not know").await;
        id
    };
    ask(&anna, ASSISTANT, "Where are the unicorns?").await;
    ask(&ben, ASSISTANT, "unicorn").await;
    ask(&ben, IDEAS, "Unicorns, where?").await;
    ask(&anna, ASSISTANT, "Какие бывают драконы?").await;
    ask(&anna, ASSISTANT, "Griffins").await;
    let get = async |query: &str| admin.get(&format!("/v1/admin/tools/unanswered{query}")).await.expect(200).json;
    let all = get("").await;
    let first = &all["items"][0];
    assert_eq!((&first["words"], &first["questions"], &first["learners"]), (&json!("unicorn"), &json!(3), &json!(2)));
    assert_eq!(first["example"], "Unicorns, where?");
    assert_eq!(all["items"].as_array().unwrap().len(), 3, "{all}");
    assert_eq!(get("?tool_type=ideas").await["items"][0]["questions"], 1);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(&format!("?limit=1{cursor}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let ids: Vec<Value> = all["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
    assert_eq!(seen, ids);
    anna.delete(ASSISTANT).await.expect(204);
    let left = get("").await;
    assert_eq!((left["items"].as_array().unwrap().len(), &left["items"][0]["questions"]), (1, &json!(2)));
}
