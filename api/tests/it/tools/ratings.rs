//! What learners think of replies.

use poem::http::Method;
use serde_json::{Value, json};

use super::{ASSISTANT, IDEAS, asked, begin, complete, reply};
use crate::support::{Actor, TestApp};

#[tokio::test]
async fn a_reply_is_rated_by_its_owner_and_the_rating_can_be_changed_and_removed() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    let id = asked(&anna, ASSISTANT, "What is a viewport?").await;
    let path = format!("/v1/replies/{id}/rating");
    let rate = async |body: Value| anna.call(Method::PUT, &path).json(body).await;
    rate(json!({"thumb": "up"})).await.expect(409).problem("reply_not_answered");
    let attempt = begin(&app, id).await.unwrap();
    complete(&app, &attempt, "A window").await;
    assert_eq!(reply(&anna, id).await["thumb"], Value::Null);

    let rated = rate(json!({"thumb": "down", "reason": "  too short "})).await.expect(200).json;
    assert_eq!((&rated["thumb"], &rated["thumb_reason"]), (&json!("down"), &json!("too short")));
    rate(json!({"thumb": "down", "reason": "too short"})).await.expect(200);
    ben.call(Method::PUT, &path).json(json!({"thumb": "up"})).await.expect(404).problem("reply_not_found");
    ben.delete(&path).await.expect(404).problem("reply_not_found");
    for wrong in [json!({"thumb": "sideways"}), json!({"thumb": "up", "reason": "x".repeat(1001)}), json!({})] {
        anna.call(Method::PUT, &path).json(wrong).invalid().await.expect(422);
    }
    let up = rate(json!({"thumb": "up"})).await.expect(200).json;
    assert_eq!((&up["thumb"], &up["thumb_reason"]), (&json!("up"), &Value::Null));
    let figures = admin.get("/v1/admin/tools/daily").await.expect(200).json["days"][0].clone();
    assert_eq!((&figures["thumbs_up"], &figures["thumbs_down"]), (&json!(1), &json!(0)));

    anna.delete(&path).await.expect(204);
    anna.delete(&path).await.expect(204);
    assert_eq!(reply(&anna, id).await["thumb"], Value::Null);
    let recorded = "SELECT count(*) FROM apalis.jobs
        WHERE convert_from(job, 'UTF8') LIKE '%\"reply.rated\"%' OR convert_from(job, 'UTF8') LIKE '%\"reply.unrated\"%'";
    assert_eq!(app.count(recorded).await, 3, "what changes nothing is not recorded");

    // The reason goes with the chat; the thumb stays for the figures.
    rate(json!({"thumb": "down", "reason": "a secret"})).await.expect(200);
    anna.delete(ASSISTANT).await.expect(204);
    assert_eq!(app.count("SELECT count(*) FROM ai_reply_ratings WHERE reason IS NULL AND thumb = 'down'").await, 1);
    rate(json!({"thumb": "up"})).await.expect(409).problem("reply_not_answered");
}

#[tokio::test]
async fn admins_read_why_replies_did_not_help() {
    let app = TestApp::new().await;
    app.leave_jobs();
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    let rate = async |learner: &Actor, tool: &str, body: Value| {
        let id = asked(learner, tool, "A secret question?").await;
        complete(&app, &begin(&app, id).await.unwrap(), "A secret answer").await;
        learner.call(Method::PUT, &format!("/v1/replies/{id}/rating")).json(body).await.expect(200);
        id
    };
    let first = rate(&anna, ASSISTANT, json!({"thumb": "down", "reason": "too short"})).await;
    rate(&anna, IDEAS, json!({"thumb": "down"})).await;
    let third = rate(&ben, IDEAS, json!({"thumb": "up", "reason": "clear"})).await;
    let list = async |query: &str| admin.get(&format!("/v1/admin/tools/ratings{query}")).await.expect(200).json;
    let all = list("").await;
    assert!(!all.to_string().contains("secret") && !all.to_string().contains("anna"), "{all}");
    let shown = |list: &Value| -> Vec<(Value, Value)> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| (item["reply_id"].clone(), item["reason"].clone())).collect()
    };
    let (first, third) = ((json!(first), json!("too short")), (json!(third), json!("clear")));
    assert_eq!(shown(&all), [third.clone(), first.clone()]);
    let item = &all["items"][1];
    assert_eq!(
        (&item["tool_type"], &item["instruction_version"], &item["thumb"]),
        (&json!("assistant"), &json!(1), &json!("down"))
    );
    assert_eq!(shown(&list("?tool_type=ideas").await), std::slice::from_ref(&third));
    assert_eq!(shown(&list("?thumb=down").await), std::slice::from_ref(&first));
    let page = list("?limit=1").await;
    assert_eq!(shown(&page), std::slice::from_ref(&third));
    let next = list(&format!("?limit=1&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((shown(&next), &next["next_cursor"]), (vec![first], &Value::Null));
    anna.delete(ASSISTANT).await.expect(204);
    assert_eq!(shown(&list("").await), [third], "a reason goes with its chat");
}
