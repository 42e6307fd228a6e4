//! One action on many users.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, TestApp};

const PATH: &str = "/v1/admin/users/bulk";

async fn outcomes(admin: &Actor, body: Value) -> Vec<(Uuid, String)> {
    let reply = admin.post(PATH, body).await.expect(200).json;
    let results: Vec<(Uuid, String)> = reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["id"].as_str().unwrap().parse().unwrap(), result["outcome"].as_str().unwrap().to_owned()))
        .collect();
    let changed = results.iter().filter(|(_, outcome)| outcome == "changed").count();
    assert_eq!(reply["changed_count"], changed);
    results
}

#[tokio::test]
async fn the_answer_says_of_each_user_what_happened() {
    let app = TestApp::new().await;
    let (admin, anna, ben) = (app.admin("root").await, app.student("anna").await, app.student("ben").await);
    let (gone, unknown) = (app.student("gone").await, cairn_core::clock::new_id());
    let ids = [unknown, gone.id, ben.id, anna.id, ben.id];
    let say = |unknown_: &str, gone_: &str, others: &str| {
        [(unknown, unknown_), (gone.id, gone_), (ben.id, others), (anna.id, others)]
            .map(|(id, outcome)| (id, outcome.to_owned()))
            .to_vec()
    };
    let deleted = outcomes(&admin, json!({"ids": [gone.id], "action": "delete"})).await;
    assert_eq!(deleted, [(gone.id, "changed".to_owned())]);
    let suspend = json!({"ids": ids, "action": "suspend", "reason": "Spam"});
    assert_eq!(outcomes(&admin, suspend.clone()).await, say("not_found", "deleted", "changed"));
    assert_eq!(outcomes(&admin, suspend).await, say("not_found", "deleted", "unchanged"));
    anna.get("/v1/me").await.expect(401);
    let suspended = admin.get(&format!("/v1/admin/users/{}", anna.id)).await.expect(200).json;
    assert_eq!((&suspended["status"], &suspended["suspension_reason"]), (&json!("suspended"), &json!("Spam")));
    let resume = json!({"ids": ids, "action": "resume"});
    assert_eq!(outcomes(&admin, resume).await, say("not_found", "deleted", "changed"));
    let mentors = json!({"ids": ids, "action": "set_role", "role": "mentor"});
    assert_eq!(outcomes(&admin, mentors.clone()).await, say("not_found", "deleted", "changed"));
    assert_eq!(outcomes(&admin, mentors).await, say("not_found", "deleted", "unchanged"));
    let delete = json!({"ids": ids, "action": "delete"});
    assert_eq!(outcomes(&admin, delete).await, say("not_found", "unchanged", "changed"));
    app.run_jobs().await;
    let recorded: Vec<(String, Value)> =
        sqlx::query_as("SELECT action, metadata FROM activity_log WHERE target_id = $1 ORDER BY occurred_at, id")
            .bind(anna.id)
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let actions: Vec<&str> = recorded.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["user.suspended", "user.resumed", "user.updated", "user.deleted"]);
    assert_eq!(recorded[2].1, json!({"before": {"role": "student"}, "after": {"role": "mentor"}}));
}

#[tokio::test]
async fn one_admin_is_left_of_all() {
    let app = TestApp::new().await;
    let admins = [app.admin("a").await, app.admin("b").await, app.admin("c").await];
    let ids: Vec<Uuid> = admins.iter().map(|admin| admin.id).collect();
    let results = outcomes(&admins[1], json!({"ids": ids, "action": "set_role", "role": "student"})).await;
    let expected = [(ids[0], "last_admin"), (ids[1], "changed"), (ids[2], "changed")];
    assert_eq!(results, expected.map(|(id, outcome)| (id, outcome.to_owned())));
    admins[1].post(PATH, json!({"ids": ids, "action": "resume"})).await.expect(401);
    admins[0].post(PATH, json!({"ids": ids, "action": "resume"})).await.expect(200);
    app.run_jobs().await;
}

#[tokio::test]
async fn an_action_has_what_belongs_to_it_and_nothing_else() {
    let app = TestApp::new().await;
    let (admin, id) = (app.admin("root").await, cairn_core::clock::new_id());
    for (body, blame) in [
        (json!({"ids": [id], "action": "set_role"}), ("/role", "required")),
        (json!({"ids": [id], "action": "delete", "role": "admin"}), ("/role", "not_allowed")),
        (json!({"ids": [id], "action": "resume", "reason": "x"}), ("/reason", "not_allowed")),
    ] {
        admin.post(PATH, body).await.expect(422).problem("invalid_body").blames(&[blame]);
    }
    for (ids, code) in [(vec![], "too_few"), (vec![id; 101], "too_many")] {
        let call = admin.post(PATH, json!({"ids": ids, "action": "resume"})).invalid();
        call.await.expect(422).problem("invalid_body").blames(&[("/ids", code)]);
    }
}
