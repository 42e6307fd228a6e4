//! Numbers by day: exact in every time zone, whatever happens to the rows that they count.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{refreshed, run, with_people, wrong};
use crate::support::{Actor, TestApp};

const DAILY: &str = "/v1/admin/stats/daily";

/// A few hundred events around the days on which clocks change in Europe, at times that seem random, many of them in the
/// hours around midnight of some zone.
const EVENTS: &str = "
    INSERT INTO activity_log (id, occurred_at, actor_id, action)
        SELECT md5('a' || d || n)::uuid, d::timestamptz + (abs(hashint4(n)) % 345600) * interval '1 second',
            md5('u' || 1 + abs(hashint4(n + 7)) % 9)::uuid, 'lesson.started'
        FROM generate_series(1, 150) n, (VALUES ('2026-03-27 12:00+00'), ('2026-10-23 12:00+00')) AS v (d);
    INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
        SELECT md5('u' || u)::uuid, md5('l' || l)::uuid, 'completed',
            '2026-03-27 12:00+00'::timestamptz + (abs(hashint4(u * 100 + l)) % 345600) * interval '1 second'
        FROM generate_series(1, 8) u, generate_series(1, 9) l;
    INSERT INTO project_likes (project_id, user_id, created_at)
        SELECT md5('p' || p)::uuid, md5('u' || u)::uuid,
            '2026-10-23 12:00+00'::timestamptz + (abs(hashint4(u * 1000 + p)) % 345600) * interval '1 second'
        FROM generate_series(1, 8) u, generate_series(1, 9) p;
    INSERT INTO tool_chats (id, user_id, tool_type) SELECT md5('c')::uuid, md5('u1')::uuid, 'ideas';
    INSERT INTO ai_replies (id, chat_id, user_id, question, instruction_id, state, reason, finished_at, created_at)
        SELECT md5('r' || n)::uuid, md5('c')::uuid, md5('u1')::uuid, 'Q', i.id, 'failed', 'provider_error', now(),
            '2026-03-27 12:00+00'::timestamptz + (abs(hashint4(n * 31)) % 345600) * interval '1 second'
        FROM generate_series(1, 40) n, ai_system_instructions i WHERE i.tool_type = 'ideas'";

/// The same numbers, counted from the rows and the clocks of the zone.
async fn counted(app: &TestApp, zone: &str, first: &str, last: &str) -> Value {
    let count = |what: &str, from: &str, time: &str| {
        format!("(SELECT count({what}) FROM {from} AND ({time} AT TIME ZONE '{zone}')::date = d.day)")
    };
    let query = format!(
        "SELECT jsonb_agg(jsonb_build_object('date', d.day, 'active_learners', {}, 'completions', {}, 'likes', {},
             'questions', {}, 'new_users', {}) ORDER BY d.day)
         FROM (SELECT g::date AS day FROM generate_series('{first}'::timestamp, '{last}', '1 day') g) d",
        count(
            "DISTINCT actor_id",
            "activity_log a JOIN users u ON u.id = a.actor_id WHERE u.role = 'student' AND u.deleted_at IS NULL",
            "a.occurred_at"
        ),
        count("*", "user_lesson_progress WHERE true", "completed_at"),
        count("*", "project_likes WHERE true", "created_at"),
        count("*", "ai_replies WHERE true", "created_at"),
        count("*", "users WHERE deleted_at IS NULL", "created_at"),
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(app.app.pool()).await.unwrap()
}

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Pacific/Chatham",
    "America/Los_Angeles",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
];

async fn assert_exact(app: &TestApp, admin: &Actor) {
    refreshed(app).await;
    for zone in ZONES {
        for (first, last) in [("2026-03-26", "2026-04-02"), ("2026-10-22", "2026-10-29")] {
            let path = format!("{DAILY}?from={first}&to={last}&time_zone={zone}");
            let series = admin.get(&path).await.expect(200).json;
            assert_eq!(series["days"], counted(app, zone, first, last).await, "{zone}");
        }
    }
    assert_eq!(wrong(app).await, []);
}

#[tokio::test]
async fn days_are_those_of_the_time_zone() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    run(&app, EVENTS).await;
    assert_exact(&app, &admin).await;
    let day = |zone: &str, day: &str| format!("{DAILY}?from={day}&to={day}&time_zone={zone}&metrics=completions");
    let completions =
        async |zone, date| admin.get(&day(zone, date)).await.expect(200).json["days"][0]["completions"].as_i64();
    // Half an hour and a quarter of one make a difference, so the oracle above is not blind.
    let (utc, kolkata) = (completions("UTC", "2026-03-29").await, completions("Asia/Kolkata", "2026-03-29").await);
    assert_ne!(utc, kolkata);
}

/// Days on which clocks change have 23 or 25 hours.
#[tokio::test]
async fn an_hour_belongs_to_one_day() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    run(
        &app,
        "INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
         SELECT md5('u1')::uuid, md5('l' || n)::uuid, 'completed', t::timestamptz FROM (VALUES
             (1, '2026-10-24 22:00:00+00'), (2, '2026-10-25 22:59:59+00'), (3, '2026-10-25 23:00:00+00'),
             (4, '2026-03-28 23:00:00+00'), (5, '2026-03-29 21:59:59+00'), (6, '2026-03-29 22:00:00+00')) AS v (n, t);
         INSERT INTO activity_log (id, occurred_at, actor_id, action)
         SELECT gen_random_uuid(), t::timestamptz, md5('u1')::uuid, 'lesson.started' FROM (VALUES
             ('2026-10-24 22:00:00+00'), ('2026-10-25 22:59:59+00')) AS v (t)",
    )
    .await;
    refreshed(&app).await;
    for (day, completions, active) in
        [("2026-10-24", 0, 0), ("2026-10-25", 2, 1), ("2026-10-26", 1, 0), ("2026-03-29", 2, 0), ("2026-03-30", 1, 0)]
    {
        let path = format!("{DAILY}?from={day}&to={day}&time_zone=Europe/Berlin");
        let day = admin.get(&path).await.expect(200).json["days"][0].clone();
        assert_eq!((&day["completions"], &day["active_learners"]), (&json!(completions), &json!(active)), "{day}");
    }
}

/// Whatever changes rows of days that are over, the numbers follow.
#[tokio::test]
async fn numbers_follow_every_change_of_the_past() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    run(&app, EVENTS).await;
    for change in [
        "UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL WHERE lesson_id = md5('l3')::uuid",
        "UPDATE user_lesson_progress SET status = 'completed', completed_at = '2026-03-29 01:30+00' WHERE lesson_id = md5('l3')::uuid",
        "DELETE FROM project_likes WHERE project_id = md5('p2')::uuid",
        "UPDATE project_likes SET created_at = created_at - interval '1 hour' WHERE project_id = md5('p3')::uuid",
        "UPDATE ai_replies SET created_at = created_at + interval '20 minutes' WHERE id = md5('r1')::uuid",
        // A learner becomes a mentor, and a mentor a learner.
        "UPDATE users SET role = 'mentor' WHERE id = md5('u2')::uuid",
        "UPDATE users SET role = 'student' WHERE id = md5('u9')::uuid",
        "UPDATE users SET deleted_at = now() WHERE id = md5('u3')::uuid",
        "UPDATE users SET deleted_at = NULL WHERE id = md5('u3')::uuid",
        // Activities that were logged late, before, between and after others of the same learners.
        "INSERT INTO activity_log (id, occurred_at, actor_id, action)
         SELECT gen_random_uuid(), '2026-03-27 06:00+00'::timestamptz + n * interval '97 minutes', md5('u' || u)::uuid, 'a.b'
         FROM generate_series(0, 70) n, generate_series(4, 5) u",
        "DELETE FROM users WHERE id = md5('u4')::uuid",
    ] {
        run(&app, change).await;
        assert_exact(&app, &admin).await;
    }
}

/// Numbers of what was there before anything was kept, or came without triggers, are those of all else.
#[tokio::test]
async fn what_was_there_before_is_counted_too() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let rows = [super::PEOPLE, EVENTS].join(";");
    let without_triggers = format!("SET session_replication_role = replica; {rows}");
    sqlx::raw_sql(AssertSqlSafe(without_triggers)).execute(&mut app.superuser().await).await.unwrap();
    assert_exact(&app, &admin).await;
}

#[tokio::test]
async fn a_job_that_runs_twice_counts_once() {
    let app = with_people().await;
    let (admin, anna) = (app.admin("root").await, app.student("anna").await);
    let id: uuid::Uuid = sqlx::query_scalar("SELECT md5('l1')::uuid").fetch_one(app.app.pool()).await.unwrap();
    anna.put(&format!("/v1/lessons/{id}/completion")).await.expect(200);
    app.run_jobs().await;
    // As if the workers had been killed before they noted that the jobs were done.
    run(
        &app,
        "UPDATE apalis.jobs SET status = 'Pending', attempts = 0, done_at = NULL, lock_by = NULL, lock_at = NULL",
    )
    .await;
    app.run_jobs().await;
    refreshed(&app).await;
    let today = admin.get(DAILY).await.expect(200).json["days"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&today["completions"], &today["active_learners"]), (&json!(1), &json!(1)), "{today}");
    anna.delete(&format!("/v1/lessons/{id}/completion")).await.expect(200);
    app.run_jobs().await;
    refreshed(&app).await;
    let today = admin.get(DAILY).await.expect(200).json["days"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(today["completions"], 0, "a lesson that was reopened is not completed");
}

#[tokio::test]
async fn a_period_is_checked_and_days_without_events_have_zeros() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    let series = admin.get(DAILY).await.expect(200).json;
    assert_eq!((series["days"].as_array().unwrap().len(), &series["time_zone"]), (30, &json!("UTC")));
    let year = admin.get(&format!("{DAILY}?from=2024-01-01&to=2024-12-31&time_zone=Asia/Tokyo")).await.expect(200).json;
    assert_eq!(year["days"].as_array().unwrap().len(), 366);
    let zeros = json!({
        "date": "2024-02-29", "active_learners": 0, "completions": 0, "likes": 0, "questions": 0, "new_users": 0,
    });
    assert_eq!(year["days"][59], zeros);
    let some = admin.get(&format!("{DAILY}?from=2026-01-01&to=2026-01-01&metrics=likes&metrics=new_users")).await;
    let expected = json!({
        "date": "2026-01-01", "active_learners": null, "completions": null, "likes": 0, "questions": null, "new_users": 0,
    });
    assert_eq!(some.expect(200).json["days"], json!([expected]));
    for (query, parameter, code) in [
        ("from=2024-01-01&to=2025-01-01", "from", "too_small"),
        ("from=2026-01-02&to=2026-01-01", "to", "too_small"),
        ("time_zone=Europe/Atlantis", "time_zone", "unknown"),
    ] {
        let refused = admin.get(&format!("{DAILY}?{query}")).await.expect(400).problem("malformed_parameter");
        refused.blames(&[(parameter, code)]);
    }
    for query in [
        "from=2026-02-30",
        "to=1969-12-31",
        "time_zone=MSK",
        "time_zone=UTC-3",
        "time_zone=%27",
        "metrics=tears",
        "format=xml",
    ] {
        admin.get(&format!("{DAILY}?{query}")).invalid().await.expect(400).problem("malformed_parameter");
    }
}

#[tokio::test]
async fn days_are_exported() {
    let app = with_people().await;
    let admin = app.admin("root").await;
    let path = format!("{DAILY}?from=2026-03-28&to=2026-03-29");
    let csv = admin.get(&path).header("Accept", "text/csv").await.expect(200);
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"daily.csv\"");
    assert_eq!(
        csv.text,
        "date,active_learners,completions,likes,questions,new_users\r\n\
         2026-03-28,0,0,0,0,1\r\n\
         2026-03-29,0,0,0,0,8\r\n"
    );
    let ndjson = admin.get(&format!("{path}&format=ndjson")).await.expect(200);
    assert_eq!(ndjson.text.lines().count(), 2);
    let json = admin.get(&path).header("Accept", "application/json, text/csv;q=0.5").await.expect(200);
    assert_eq!(json.json["days"].as_array().unwrap().len(), 2);
}
