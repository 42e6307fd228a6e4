//! The signed-in user, and what the roles allow.

use cairn_api::caller::{Admin, Mentor};
use cairn_api::{Code, Problem};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Value, json};

use crate::support::TestApp;

struct Guarded;

#[OpenApi]
#[expect(clippy::unused_async, reason = "handlers have to be")]
impl Guarded {
    #[oai(path = "/mentor", method = "get")]
    async fn mentor(&self, caller: Mentor) -> PlainText<String> {
        PlainText(caller.user_id.to_string())
    }

    #[oai(path = "/admin", method = "get")]
    async fn admin(&self, caller: Admin) -> PlainText<String> {
        PlainText(caller.user_id.to_string())
    }
}

#[tokio::test]
async fn each_role_has_the_rights_of_the_ones_below() {
    let app = TestApp::new().await;
    let guarded = OpenApiService::new(Guarded, "", "").into_endpoint().data(app.app.clone());
    let people = [app.student("s").await, app.mentor("m").await, app.admin("a").await];
    let visit = async |path: &str, token: &str| -> Option<Code> {
        let request = Request::builder().uri_str(path).header("Authorization", format!("Bearer {token}"));
        let result = guarded.call(request.finish()).await;
        result.err().map(|error| error.downcast_ref::<Problem>().unwrap().code())
    };
    for (path, allowed) in [("/mentor", [false, true, true]), ("/admin", [false, false, true])] {
        for (person, allowed) in people.iter().zip(allowed) {
            let expected = (!allowed).then_some(Code::Forbidden);
            assert_eq!(visit(path, &person.token).await, expected, "{path} {}", person.id);
        }
    }
    // Another role ends the sessions with the old one at once.
    sqlx::query("UPDATE users SET role = 'admin'").execute(app.app.pool()).await.unwrap();
    assert_eq!(visit("/admin", &people[0].token).await, Some(Code::Unauthorized));
    assert_eq!(visit("/admin", &people[2].token).await, None);
    assert_eq!(visit("/admin", &people[0].another_session().await.token).await, None);
    // What was refused or read is recorded.
    app.run_jobs().await;
}

#[tokio::test]
async fn people_change_what_they_say_of_themselves() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let before = anna.get("/v1/me").await.expect(200).json;
    let picture = json!("https://pictures.example/a.png");
    let changes = json!({"first_name": " Анна ", "last_name": "Moreno", "avatar_url": picture});
    let updated = anna.patch("/v1/me", changes).await.expect(200).json;
    assert_eq!((&updated["first_name"], &updated["avatar_url"]), (&json!("Анна"), &picture));
    assert_eq!(anna.patch("/v1/me", json!({})).await.expect(200).json, updated, "what is left out stays");
    let cleared = anna.patch("/v1/me", json!({"last_name": null, "avatar_url": null})).await.expect(200).json;
    assert_eq!((&cleared["last_name"], &cleared["avatar_url"]), (&Value::Null, &Value::Null));
    assert_eq!(cleared["email"], before["email"]);
    let send = |changes| anna.patch("/v1/me", changes).invalid();
    for (changes, blame) in [
        (json!({"first_name": null}), ("/first_name", "wrong_type")),
        (json!({"first_name": ""}), ("/first_name", "too_short")),
        (json!({"first_name": "  "}), ("/first_name", "invalid")),
        (json!({"avatar_url": "javascript:alert(1)"}), ("/avatar_url", "malformed")),
        (json!({"role": "admin"}), ("/role", "unknown")),
        (json!({"email": "b@example.test"}), ("/email", "unknown")),
    ] {
        send(changes).await.expect(422).problem("invalid_body").blames(&[blame]);
    }
    app.run_jobs().await;
    let recorded: Vec<(Value,)> =
        sqlx::query_as("SELECT metadata FROM activity_log WHERE action = 'user.updated' ORDER BY occurred_at, id")
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[1].0["after"], json!({"last_name": null, "avatar_url": null}));
}
