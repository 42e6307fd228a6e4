//! How far learners get in a roadmap.

use super::{run, with_people};

#[tokio::test]
async fn a_funnel_shows_where_learners_stop() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    run(
        &app,
        "INSERT INTO roadmaps (id, slug, title, publication) VALUES (md5('r')::uuid, 'way', 'Way', 'published');
         INSERT INTO stages (id, roadmap_id, slug, title, position, publication)
             SELECT md5('s' || n)::uuid, md5('r')::uuid, 'stage-' || n, 'Stage ' || n, n,
                 (CASE n WHEN 4 THEN 'draft' ELSE 'published' END)::publication FROM generate_series(1, 4) n;
         INSERT INTO stage_lessons (stage_id, lesson_id)
             SELECT md5('s' || n)::uuid, md5('l' || n)::uuid FROM generate_series(1, 3) n;
         -- 1 completes everything, 2 and 3 stop at the second stage, 4 started the first; a mentor does not count.
         INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
             SELECT md5('u' || u)::uuid, md5('l' || l)::uuid, s::lesson_status, CASE s WHEN 'completed' THEN now() END
             FROM (VALUES (1, 1, 'completed'), (1, 2, 'completed'), (1, 3, 'completed'), (2, 1, 'completed'),
                 (2, 2, 'in_progress'), (3, 1, 'completed'), (3, 2, 'completed'), (4, 1, 'in_progress'), (9, 1, 'completed'))
                 AS v (u, l, s)",
    )
    .await;
    let mut tx = app.app.db.begin().await.unwrap();
    let pairs: Vec<(uuid::Uuid, uuid::Uuid)> =
        sqlx::query_as("SELECT user_id, roadmap_id FROM progress_dirty").fetch_all(&mut *tx).await.unwrap();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(user_id, roadmap_id)| cairn_core::learning::rollup::Pair { user_id, roadmap_id })
        .collect();
    cairn_core::learning::rollup::roll_up(&mut tx, &pairs, cairn_core::learning::rollup::Skip::Markers).await.unwrap();
    tx.commit().await.unwrap();
    let roadmap: uuid::Uuid = sqlx::query_scalar("SELECT md5('r')::uuid").fetch_one(app.app.pool()).await.unwrap();
    let funnel = admin.get(&format!("/v1/admin/stats/roadmaps/{roadmap}/funnel")).await.expect(200).json;
    let stages: Vec<_> = funnel["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| {
            (
                stage["title"].as_str().unwrap(),
                stage["started"].as_i64(),
                stage["completed"].as_i64(),
                stage["stopped"].as_i64(),
            )
        })
        .collect();
    let stage = |title, started, completed, stopped| (title, Some(started), Some(completed), Some(stopped));
    assert_eq!(stages, [stage("Stage 1", 4, 3, 1), stage("Stage 2", 3, 2, 2), stage("Stage 3", 1, 1, 0)]);
    run(&app, "UPDATE roadmaps SET deleted_at = now()").await;
    let gone = admin.get(&format!("/v1/admin/stats/roadmaps/{roadmap}/funnel")).await;
    gone.expect(404).problem("roadmap_not_found");
    app.run_jobs().await;
}
