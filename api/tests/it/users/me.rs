//! The signed-in user, and what the roles allow.

use cairn_api::caller::{Admin, Mentor};
use cairn_api::{Code, Problem};
use poem::{Endpoint, EndpointExt, IntoEndpoint, Request};
use poem_openapi::payload::PlainText;
use poem_openapi::{OpenApi, OpenApiService};

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
    // A new role counts at once.
    sqlx::query("UPDATE users SET role = 'admin'").execute(app.app.pool()).await.unwrap();
    assert_eq!(visit("/admin", &people[0].token).await, None);
}
