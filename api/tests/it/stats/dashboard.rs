//! The numbers of the dashboard, and how they are kept.

use serde_json::{Value, json};
use sqlx::Connection;

use super::{refreshed, run, with_people, wrong};
use crate::support::{Actor, TestApp};

const DASHBOARD: &str = "/v1/admin/stats/dashboard";

/// The numbers counted from all rows, at once. A day and a week begin with the quarter, or the hour, that they begin in.
const COUNTED: &str = "
    SELECT to_jsonb(d) FROM (SELECT
        (SELECT count(*) FROM users WHERE deleted_at IS NULL AND role = 'student') AS students,
        (SELECT count(*) FROM users WHERE deleted_at IS NULL AND role = 'mentor') AS mentors,
        (SELECT count(*) FROM users WHERE deleted_at IS NULL AND role = 'admin') AS admins,
        (SELECT count(*) FROM users WHERE deleted_at IS NULL AND role = 'student' AND id IN
            (SELECT actor_id FROM activity_log WHERE occurred_at >= date_trunc('hour', now()) - interval '1 day'))
            AS students_active_today,
        (SELECT count(*) FROM users WHERE deleted_at IS NULL AND role = 'student' AND id IN
            (SELECT actor_id FROM activity_log WHERE occurred_at >= date_trunc('hour', now()) - interval '7 days'))
            AS students_active_week,
        (SELECT count(*) FROM users WHERE deleted_at IS NULL AND role = 'student' AND created_at >= quarter_start(quarter_of(now()) - 672))
            AS students_new_week,
        (SELECT count(*) FROM visible_lessons) AS lessons_published,
        (SELECT count(*) FROM user_lesson_progress WHERE status = 'completed') AS lessons_completed,
        (SELECT count(*) FROM user_lesson_progress WHERE completed_at >= quarter_start(quarter_of(now()) - 672)) AS lessons_completed_week,
        (SELECT count(*) FROM user_roadmap_progress WHERE status = 'completed') AS roadmaps_completed,
        (SELECT count(*) FROM showcase_projects WHERE deleted_at IS NULL AND status = 'published') AS projects_published,
        (SELECT count(*) FROM showcase_projects WHERE deleted_at IS NULL AND status = 'submitted') AS projects_waiting,
        (SELECT count(*) FROM project_likes) AS likes,
        (SELECT count(*) FROM ai_replies WHERE created_at >= quarter_start(quarter_of(now()) - 96)) AS questions_today,
        (SELECT count(*) FROM ai_replies WHERE state IN ('queued', 'streaming')) AS replies_open,
        (SELECT count(*) FROM ai_replies WHERE state = 'failed' AND created_at >= quarter_start(quarter_of(now()) - 672))
            AS replies_failed_week
    ) d";

async fn assert_exact(app: &TestApp, admin: &Actor) {
    refreshed(app).await;
    let mut shown = admin.get(DASHBOARD).await.expect(200).json;
    for member in ["as_of", "age_seconds"] {
        assert!(!shown[member].is_null(), "{member}");
        shown.as_object_mut().unwrap().remove(member);
    }
    let counted: Value = sqlx::query_scalar(COUNTED).fetch_one(app.app.pool()).await.unwrap();
    assert_eq!(shown, counted);
    assert_eq!(wrong(app).await, []);
}

#[tokio::test]
async fn the_dashboard_says_how_old_it_is() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let before = admin.get(DASHBOARD).await.expect(200).json;
    assert_eq!((&before["as_of"], &before["age_seconds"], &before["admins"]), (&Value::Null, &Value::Null, &json!(0)));
    refreshed(&app).await;
    let after = admin.get(DASHBOARD).await.expect(200).json;
    assert!(after["age_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(after["admins"], 1);
}

/// Everything that the numbers count, some of it in the last day, the last week, and before.
#[tokio::test]
async fn numbers_are_those_of_the_rows() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    run(
        &app,
        "INSERT INTO users (id, email, first_name, created_at)
         SELECT md5('n' || n)::uuid, n || '@new.test', 'N', now() - n * interval '1 day' FROM generate_series(0, 9) n;
         INSERT INTO activity_log (id, occurred_at, actor_id, action)
         SELECT gen_random_uuid(), now() - h * interval '5 hours' - interval '2 minutes', md5('u' || 1 + h % 8)::uuid, 'a.b'
         FROM generate_series(0, 40) h;
         INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
         SELECT md5('u' || u)::uuid, md5('l' || l)::uuid, 'completed', now() - (u * 9 + l) * interval '3 hours'
         FROM generate_series(1, 8) u, generate_series(1, 9) l;
         INSERT INTO project_likes (project_id, user_id, created_at)
         SELECT md5('p' || p)::uuid, md5('u1')::uuid, now() - p * interval '1 day' FROM generate_series(1, 9) p;
         UPDATE showcase_projects SET status = 'submitted' WHERE id = md5('p1')::uuid;
         INSERT INTO tool_chats (id, user_id, tool_type) SELECT md5('c')::uuid, md5('u1')::uuid, 'ideas';
         INSERT INTO ai_replies (id, chat_id, user_id, question, instruction_id, state, reason, finished_at, created_at)
         SELECT md5('r' || n)::uuid, md5('c')::uuid, md5('u1')::uuid, 'Q', i.id, 'failed', 'provider_error', now(),
             now() - n * interval '9 hours' FROM generate_series(0, 30) n, ai_system_instructions i WHERE i.tool_type = 'ideas';
         INSERT INTO ai_replies (chat_id, user_id, question, instruction_id)
         SELECT md5('c')::uuid, md5('u1')::uuid, 'Q', i.id FROM ai_system_instructions i WHERE i.tool_type = 'ideas'",
    )
    .await;
    assert_exact(&app, &admin).await;
    run(
        &app,
        "UPDATE users SET deleted_at = now() WHERE id = md5('u2')::uuid;
         UPDATE users SET role = 'mentor' WHERE id = md5('u3')::uuid;
         UPDATE ai_replies SET state = 'completed', reason = NULL WHERE id = md5('r5')::uuid;
         UPDATE showcase_projects SET deleted_at = now() WHERE id = md5('p2')::uuid;
         DELETE FROM users WHERE id = md5('u4')::uuid",
    )
    .await;
    assert_exact(&app, &admin).await;
}

/// A transaction writes into the quarter that is not over, without a mark, and commits when the quarter is long over.
#[tokio::test]
async fn a_quarter_is_over_only_when_its_transactions_are() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    // The quarter before this one is not over yet.
    run(&app, "UPDATE stats_state SET open_from = quarter_of(clock_timestamp()) - 2, fenced = NULL, fence = NULL")
        .await;
    let mut slow = app.superuser().await;
    let mut transaction = slow.begin().await.unwrap();
    let fact = "SET LOCAL session_replication_role = replica;
        INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
        VALUES (md5('u1')::uuid, md5('l1')::uuid, 'completed', now() - interval '16 minutes')";
    sqlx::raw_sql(fact).execute(&mut *transaction).await.unwrap();
    for _ in 0..3 {
        refreshed(&app).await;
    }
    let open = "SELECT (quarter_of(clock_timestamp()) - open_from)::bigint FROM stats_state";
    assert!(app.count(open).await >= 2, "no quarter of a running transaction is over");
    transaction.commit().await.unwrap();
    // Transactions of other tests, in other databases of the server, count too.
    for _ in 0..3000 {
        refreshed(&app).await;
        if app.count(open).await <= 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(app.count(open).await <= 1);
    assert_exact(&app, &admin).await;
}

/// In a database that was restored or replicated to another server, the fence is an id that this server has not given out yet.
#[tokio::test]
async fn a_quarter_whose_transactions_ran_on_another_server_is_over() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    let elsewhere = "UPDATE stats_state SET open_from = quarter_of(clock_timestamp()) - 8,
            fenced = quarter_of(clock_timestamp()) - 2, fence = '1000000000000';
        SET session_replication_role = replica;
        INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
        VALUES (md5('u1')::uuid, md5('l1')::uuid, 'completed', now() - interval '1 hour')";
    sqlx::raw_sql(elsewhere).execute(&mut app.superuser().await).await.unwrap();
    refreshed(&app).await;
    let open = "SELECT (quarter_of(clock_timestamp()) - open_from)::bigint FROM stats_state";
    assert!((2..=3).contains(&app.count(open).await), "its end is as late as it was to be");
    assert_exact(&app, &admin).await;
}

#[tokio::test]
async fn a_check_finds_a_wrong_number() {
    use cairn_core::admin::verify::Kind;
    let app = with_people().await;
    run(
        &app,
        "INSERT INTO activity_log (id, occurred_at, actor_id, action)
         VALUES (gen_random_uuid(), '2026-03-27 06:00+00', md5('u1')::uuid, 'a.b')",
    )
    .await;
    refreshed(&app).await;
    assert_eq!(wrong(&app).await, []);
    for (kind, statement, repaired) in [
        (
            Kind::StatsQuarter,
            "UPDATE stats_quarters SET likes = likes + 1 WHERE students > 0",
            "UPDATE stats_quarters SET likes = 0",
        ),
        (
            Kind::StatsQuarter,
            "DELETE FROM stats_quarters WHERE mentors > 0",
            "INSERT INTO stats_marks (quarter) SELECT quarter_of(created_at) FROM users",
        ),
        (
            Kind::ActiveLearners,
            "UPDATE stats_active SET first_of_day[5] = 0",
            "INSERT INTO stats_marks (quarter) SELECT quarter FROM stats_active",
        ),
        (
            Kind::ActiveLearners,
            "UPDATE stats_active SET first_of_week[1] = 2",
            "INSERT INTO stats_marks (quarter) SELECT quarter FROM stats_active",
        ),
    ] {
        run(&app, statement).await;
        assert_eq!(wrong(&app).await, [kind], "{statement}");
        run(&app, repaired).await;
        refreshed(&app).await;
        assert_eq!(wrong(&app).await, [], "{repaired}");
    }
}

/// What happens now leaves no mark, so that requests do not write more than before and never wait for each other.
#[tokio::test]
async fn what_happens_now_leaves_no_mark() {
    let app = with_people().await;
    run(
        &app,
        "INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
         VALUES (md5('u1')::uuid, md5('l1')::uuid, 'completed', clock_timestamp() + interval '1 second');
         INSERT INTO project_likes (project_id, user_id, created_at)
         VALUES (md5('p1')::uuid, md5('u1')::uuid, clock_timestamp() + interval '1 second');
         INSERT INTO activity_log (id, occurred_at, actor_id, action)
         VALUES (gen_random_uuid(), clock_timestamp() + interval '1 second', md5('u1')::uuid, 'a.b')",
    )
    .await;
    assert_eq!(app.count("SELECT count(*) FROM stats_marks").await, 0);
}
