//! Invites, as admins manage them. Redeeming them is told in `auth`.

use chrono::TimeDelta;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::{Actor, Reply, TestApp};

const PATH: &str = "/v1/admin/invites";

async fn create(admin: &Actor, body: Value) -> Value {
    admin.post(PATH, body).await.expect(201).json
}

fn at(invite: &Value) -> String {
    format!("{PATH}/{}", invite["id"].as_str().unwrap())
}

fn etag(invite: &Value) -> String {
    format!("\"{}\"", invite["version"])
}

async fn register(app: &TestApp, email: &str, invite: &Value) -> Reply {
    let body = json!({
        "email": email, "password": "correct horse battery", "first_name": "Demo", "invite_code": invite["code"],
    });
    app.post("/v1/auth/register", body).await
}

#[tokio::test]
async fn invites_are_created_found_and_changed() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let body = json!({"role": "mentor", "max_uses": 2, "note": "Spring", "expires_at": "2099-01-01T00:00:00Z"});
    let send = |body| admin.post(PATH, body).header("Idempotency-Key", "first");
    let created = send(body.clone()).await.expect(201);
    assert_eq!((created.header("location"), created.header("etag")), (&*at(&created.json), "\"1\""));
    assert_eq!(send(body).await.expect(201).json, created.json);
    send(json!({"role": "admin"})).await.expect(409).problem("idempotency_key_reused");
    let invite = created.json;
    assert_eq!(
        (&invite["state"], &invite["uses"], &invite["created_by"]),
        (&json!("active"), &json!(0), &json!(admin.id))
    );
    let read = admin.get(&at(&invite)).await.expect(200);
    assert_eq!((read.header("etag"), &read.json), ("\"1\"", &invite), "admins can look the code up again");
    let listed = admin.get(PATH).await.expect(200);
    assert_eq!(listed.json["items"][0]["id"], invite["id"]);
    assert!(!listed.text.contains(invite["code"].as_str().unwrap()), "a list shows no codes");
    let plain = create(&admin, json!({"role": "student"})).await;
    assert_eq!((&plain["max_uses"], &plain["expires_at"], &plain["note"]), (&json!(1), &Value::Null, &Value::Null));

    let patch = |changes, version: &str| admin.patch(&at(&invite), changes).header("If-Match", version);
    patch(json!({"note": "x"}), "\"9\"").await.expect(412).problem("version_mismatch");
    admin.patch(&at(&invite), json!({"note": "x"})).invalid().await.expect(428).problem("precondition_required");
    let changed = patch(json!({"note": null, "max_uses": 3, "expires_at": null}), "\"1\"").await.expect(200).json;
    assert_eq!(
        (&changed["note"], &changed["max_uses"], &changed["expires_at"]),
        (&Value::Null, &json!(3), &Value::Null)
    );
    assert_eq!((&changed["code"], &changed["role"]), (&invite["code"], &invite["role"]));
    patch(json!({"role": "admin"}), "\"2\"").invalid().await.expect(422).blames(&[("/role", "unknown")]);
    for (bad, code) in [(json!(0), "too_small"), (json!(100_001), "too_large"), (json!("7"), "wrong_type")] {
        let reply = patch(json!({"max_uses": bad}), "\"2\"").invalid().await.expect(422);
        reply.problem("invalid_body").blames(&[("/max_uses", code)]);
    }
    register(&app, "one@example.test", &invite).await.expect(201);
    register(&app, "two@example.test", &invite).await.expect(201);
    let fewer = patch(json!({"max_uses": 1}), "\"2\"").await.expect(422);
    fewer.problem("invalid_body").blames(&[("/max_uses", "invalid")]);
    let enough = patch(json!({"max_uses": 2}), "\"2\"").await.expect(200).json;
    assert_eq!((&enough["state"], &enough["uses"]), (&json!("used_up"), &json!(2)));

    app.run_jobs().await;
    let recorded: Vec<(String, Value)> =
        sqlx::query_as("SELECT action, metadata FROM activity_log WHERE target_id = $1::uuid ORDER BY occurred_at, id")
            .bind(invite["id"].as_str().unwrap())
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    let actions: Vec<&str> = recorded.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["invite.created", "invite.updated", "invite.updated"]);
    assert_eq!(recorded[2].1, json!({"before": {"max_uses": 3}, "after": {"max_uses": 2}}));
    assert!(!format!("{recorded:?}").contains(invite["code"].as_str().unwrap()), "the code is a secret");
}

#[tokio::test]
async fn the_state_of_an_invite_follows_from_its_row_and_the_time() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let soon = app.app.now() + TimeDelta::hours(1);
    let active = create(&admin, json!({"role": "student", "note": "active"})).await;
    let used_up = create(&admin, json!({"role": "student", "note": "used up"})).await;
    let expired = create(&admin, json!({"role": "student", "note": "expired", "expires_at": soon})).await;
    let revoked = create(&admin, json!({"role": "student", "note": "revoked"})).await;
    register(&app, "one@example.test", &used_up).await.expect(201);
    let revoke = async |invite: &Value| {
        let call = admin.call(Method::POST, &format!("{}/revoke", at(invite)));
        call.header("If-Match", &etag(&admin.get(&at(invite)).await.json)).await
    };
    let answer = revoke(&revoked).await.expect(200).json;
    assert_eq!(answer["state"], "revoked");
    assert_eq!(revoke(&revoked).await.expect(200).json, answer, "revoking again changes nothing");
    register(&app, "two@example.test", &revoked).await.expect(410).problem("invite_revoked");
    // What was used up stays so, even if it is revoked too.
    assert_eq!(revoke(&used_up).await.expect(200).json["state"], "used_up");
    app.app.db.clock().advance(TimeDelta::hours(2));
    // An access token lasts for 15 minutes.
    let admin = app.admin("later").await;
    for (invite, state) in [(&active, "active"), (&used_up, "used_up"), (&expired, "expired"), (&revoked, "revoked")] {
        assert_eq!(admin.get(&at(invite)).await.expect(200).json["state"], state);
        let listed = admin.get(&format!("{PATH}?state={state}")).await.expect(200).json;
        let notes: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|invite| &invite["note"]).collect();
        assert_eq!(notes, [&invite["note"]], "{state}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn invites_are_listed_newest_first_in_pages() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    sqlx::query(
        "INSERT INTO invite_links (code, note, created_at)
         SELECT 'a code of some length ' || n, n::text, now() - n / 3 * interval '1 hour' FROM generate_series(1, 25) n",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PATH}?limit=4{cursor}")).await.expect(200).json;
        let notes =
            page["items"].as_array().unwrap().iter().map(|invite| invite["note"].as_str().unwrap().parse::<u32>());
        seen.extend(notes.map(Result::unwrap));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.iter().map(|n| n / 3).is_sorted(), "{seen:?}");
}
