//! Modules.

use serde_json::json;

use super::complete;
use crate::support::TestApp;
use cairn_testing::course::Course;

#[tokio::test]
async fn modules_are_listed() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let courses = [Course::new(app.app.pool()).await];
    let (one, draft) = (courses[0].lesson("One").await, courses[0].lesson("Draft").await);
    courses[0].lesson("Two").await;
    courses[0].edit("UPDATE lessons SET publication = 'draft' WHERE id = $1", draft).await;
    complete(&anna, one).await.expect(200);
    let page = anna.get("/v1/modules").await.expect(200).json;
    assert_eq!(
        page,
        json!({"items": [{"id": courses[0].module, "slug": courses[0].module, "title": "Module", "summary": "",
                          "lessons_total": 2, "lessons_completed": 1}], "next_cursor": null})
    );
    courses[0].edit("UPDATE course_modules SET publication = 'archived' WHERE id = $1", courses[0].module).await;
    assert_eq!(anna.get("/v1/modules").await.expect(200).json["items"], json!([]));
    app.run_jobs().await;
}
