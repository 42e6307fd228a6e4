//! One-time links to set a new password: who may create one is told in `accounts`.

use chrono::TimeDelta;
use poem::http::Method;

use super::password::{login, reset};
use crate::support::TestApp;

#[tokio::test]
async fn the_next_link_replaces_the_one_before() {
    let app = TestApp::new().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let path = format!("/v1/admin/users/{}/password-reset", anna.id);
    let create = async || admin.call(Method::POST, &path).await.expect(200).json["token"].clone();
    let (first, second) = (create().await, create().await);
    assert_ne!(first, second);
    reset(&app, &first, "staple battery horse").await.expect(410).problem("invalid_reset_token");
    reset(&app, &second, "staple battery horse").await.expect(204);
    login(&app, "anna@example.test", "staple battery horse").await.expect(200);
    let third = create().await;
    app.app.db.clock().advance(TimeDelta::hours(24));
    reset(&app, &third, "staple battery horse").await.expect(410).problem("invalid_reset_token");
    app.run_jobs().await;
}
