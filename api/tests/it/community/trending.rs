//! The trending rank.

use cairn_core::admin::verify::{Mode, verify};
use cairn_core::community::jobs::RefreshTrending;
use serde_json::json;

use super::{all_ids, by_hand, like_path, project};
use crate::support::TestApp;

async fn refresh(app: &TestApp) {
    let mut tx = app.app.db.begin().await.unwrap();
    tx.enqueue(&RefreshTrending {}).unwrap();
    tx.commit().await.unwrap();
    app.run_jobs().await;
}

async fn is_verified(app: &TestApp) -> bool {
    verify(app.app.pool(), Mode::Strict).await.unwrap().is_clean()
}

#[tokio::test]
async fn what_was_liked_in_the_last_seven_days_comes_first() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let (old, fresh, quiet) =
        (project(&anna, "Old").await, project(&anna, "Fresh").await, project(&anna, "Quiet").await);
    for n in 0..3 {
        app.student(&format!("learner{n}")).await.put(&like_path(old)).await.expect(200);
    }
    app.run_jobs().await;
    assert_eq!(all_ids(&anna, "/v1/projects?sort=trending").await, [old, quiet, fresh]);
    // A week and a day pass for these likes. Nothing happens to the project.
    by_hand(&app, "UPDATE showcase_projects SET trending_since = trending_since - interval '8 days'").await;
    let without_triggers = "ALTER TABLE project_likes DISABLE TRIGGER USER;
         UPDATE project_likes SET created_at = created_at - interval '8 days';
         ALTER TABLE project_likes ENABLE TRIGGER USER";
    sqlx::raw_sql(without_triggers).execute(&mut app.superuser().await).await.unwrap();
    anna.put(&like_path(fresh)).await.expect(200);
    app.run_jobs().await;
    assert_eq!(all_ids(&anna, "/v1/projects?sort=trending").await, [old, fresh, quiet], "not counted out yet");
    assert!(!is_verified(&app).await, "the window is too old");
    refresh(&app).await;
    assert_eq!(all_ids(&anna, "/v1/projects?sort=trending").await, [fresh, quiet, old]);
    assert_eq!(all_ids(&anna, "/v1/projects?sort=popular").await, [old, fresh, quiet], "the likes themselves stay");
    let seen = anna.get(&format!("/v1/projects/{old}")).await.expect(200).json;
    assert_eq!((&seen["likes_count"], &seen["trending_likes"]), (&json!(3), &json!(0)));
    assert!(is_verified(&app).await);
    // Again, with nothing to do.
    refresh(&app).await;
    assert!(is_verified(&app).await);
}

#[tokio::test]
async fn a_like_that_is_taken_back_leaves_the_rank() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let id = project(&anna, "Mine").await;
    let rank = async || {
        app.run_jobs().await;
        assert!(is_verified(&app).await);
        ben.get("/v1/projects?sort=trending").await.expect(200).json["items"][0]["trending_likes"].clone()
    };
    anna.put(&like_path(id)).await.expect(200);
    ben.put(&like_path(id)).await.expect(200);
    assert_eq!(rank().await, 2);
    ben.delete(&like_path(id)).await.expect(200);
    assert_eq!(rank().await, 1);
    by_hand(&app, "DELETE FROM project_likes").await;
    by_hand(&app, "UPDATE likes_dirty SET marked_at = now() - interval '1 minute'").await;
    let mut tx = app.app.db.begin().await.unwrap();
    cairn_core::community::likes::requeue_waiting(&mut tx, std::time::Duration::from_secs(5), 10).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(rank().await, 0);
}
