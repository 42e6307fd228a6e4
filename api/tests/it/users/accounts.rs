//! Users, as admins find and change them.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use poem::http::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::support::{Actor, Reply, TestApp};

const PATH: &str = "/v1/admin/users";

fn user(n: usize) -> Value {
    json!({"email": format!("user{n}@example.test"), "first_name": "Anna", "last_name": "Moreno", "role": "student"})
}

async fn version(admin: &Actor, id: impl std::fmt::Display) -> String {
    admin.get(&format!("{PATH}/{id}")).await.expect(200).header("etag").to_owned()
}

/// A call on a user under the version that they have now.
async fn act(admin: &Actor, id: impl std::fmt::Display, action: &str, body: Option<Value>) -> Reply {
    let call =
        admin.call(Method::POST, &format!("{PATH}/{id}/{action}")).header("If-Match", &version(admin, &id).await);
    match body {
        Some(body) => call.json(body).await,
        None => call.await,
    }
}

async fn patch(admin: &Actor, id: impl std::fmt::Display, changes: Value) -> Reply {
    let version = version(admin, &id).await;
    admin.patch(&format!("{PATH}/{id}"), changes).header("If-Match", &version).await
}

async fn delete(admin: &Actor, id: impl std::fmt::Display) -> Reply {
    let version = version(admin, &id).await;
    admin.delete(&format!("{PATH}/{id}")).header("If-Match", &version).await
}

/// Names of the operations on a user, each as a call of `actor`.
async fn attempts(actor: &Actor, id: &str) -> Vec<Reply> {
    let path = format!("{PATH}/{id}");
    let post = |action: &str| actor.call(Method::POST, &format!("{path}/{action}")).header("If-Match", "\"1\"");
    vec![
        actor.get(PATH).await,
        actor.post(PATH, user(1)).await,
        actor.get(&path).await,
        actor.patch(&path, json!({"role": "admin"})).header("If-Match", "\"1\"").await,
        post("suspend").json(json!({})).await,
        post("resume").await,
        actor.delete(&path).header("If-Match", "\"1\"").await,
        post("restore").await,
        actor.call(Method::POST, &format!("{path}/password-reset")).await,
        actor.post(&format!("{PATH}/bulk"), json!({"ids": [id], "action": "delete"})).await,
        actor.get("/v1/admin/invites").await,
        actor.post("/v1/admin/invites", json!({"role": "admin"})).await,
        actor.get(&format!("/v1/admin/invites/{id}")).await,
        actor.patch(&format!("/v1/admin/invites/{id}"), json!({"max_uses": 9})).header("If-Match", "\"1\"").await,
        actor.call(Method::POST, &format!("/v1/admin/invites/{id}/revoke")).header("If-Match", "\"1\"").await,
    ]
}

#[tokio::test]
async fn only_admins_manage_users_and_invites() {
    let app = TestApp::new().await;
    let (student, mentor, admin) = (app.student("sam").await, app.mentor("mia").await, app.admin("root").await);
    for actor in [&student, &mentor] {
        for reply in attempts(actor, &admin.id.to_string()).await {
            reply.expect(403).problem("forbidden");
        }
    }
    let unknown = cairn_core::clock::new_id().to_string();
    for (nth, reply) in attempts(&admin, &unknown).await.into_iter().enumerate() {
        match nth {
            0 | 10 => drop(reply.expect(200)),
            1 | 11 => drop(reply.expect(201)),
            9 => assert_eq!(reply.expect(200).json["results"][0]["outcome"], "not_found"),
            12.. => drop(reply.expect(404).problem("invite_not_found")),
            _ => drop(reply.expect(404).problem("user_not_found")),
        }
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn users_are_created_changed_deleted_and_restored() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let create = |body| admin.post(PATH, body).header("Idempotency-Key", "first");
    let created = create(user(1)).await.expect(201);
    let id = created.json["id"].as_str().unwrap().to_owned();
    assert_eq!((created.header("location"), created.header("etag")), (&*format!("{PATH}/{id}"), "\"1\""));
    assert_eq!(create(user(1)).await.expect(201).json, created.json);
    create(user(2)).await.expect(409).problem("idempotency_key_reused");
    admin.post(PATH, user(1)).await.expect(409).problem("value_taken").blames(&[("/email", "taken")]);
    assert_eq!((&created.json["has_password"], &created.json["status"]), (&json!(false), &json!("active")));
    let progress = json!({"percent": null, "lessons_completed": 0, "roadmaps_started": 0, "roadmaps_completed": 0});
    assert_eq!(created.json["progress"], progress);
    let mut odd = user(3);
    odd["email"] = "nobody".into();
    admin.post(PATH, odd).await.expect(422).problem("invalid_body").blames(&[("/email", "invalid")]);

    let path = format!("{PATH}/{id}");
    admin.patch(&path, json!({})).invalid().await.expect(428).problem("precondition_required");
    admin.patch(&path, json!({})).header("If-Match", "\"7\"").await.expect(412).problem("version_mismatch");
    let changes = json!({"email": " New@Example.Test ", "first_name": "Ада", "last_name": null, "role": "mentor"});
    let updated = patch(&admin, &id, changes).await.expect(200);
    assert_eq!((updated.header("etag"), &updated.json["email"]), ("\"2\"", &json!("New@Example.Test")));
    assert_eq!((&updated.json["last_name"], &updated.json["role"]), (&Value::Null, &json!("mentor")));
    assert_eq!(patch(&admin, &id, json!({})).await.expect(200).json, updated.json, "what is left out stays");
    let blames = [
        ("/email", json!("x y@z"), "invalid"),
        ("/first_name", json!("  "), "invalid"),
        ("/last_name", json!("a\tb"), "hidden_character"),
    ];
    for (pointer, value, code) in blames {
        let reply = patch(&admin, &id, json!({ pointer[1..].to_owned(): value })).await;
        reply.expect(422).problem("invalid_body").blames(&[(pointer, code)]);
    }

    delete(&admin, &id).await.expect(204);
    patch(&admin, &id, json!({"first_name": "X"})).await.expect(409).problem("resource_deleted");
    act(&admin, &id, "suspend", Some(json!({}))).await.expect(409).problem("resource_deleted");
    act(&admin, &id, "password-reset", None).await.expect(409).problem("resource_deleted");
    assert_eq!(admin.get(&format!("{PATH}?deleted=true")).await.expect(200).json["items"][0]["id"], *id);
    let mut successor = user(9);
    successor["email"] = "NEW@example.test".into();
    let successor = admin.post(PATH, successor).await.expect(201).json["id"].as_str().unwrap().to_owned();
    act(&admin, &id, "restore", None).await.expect(409).problem("value_taken").blames(&[("/email", "taken")]);
    delete(&admin, &successor).await.expect(204);
    assert_eq!(act(&admin, &id, "restore", None).await.expect(200).json["deleted_at"], Value::Null);
    app.run_jobs().await;
}

#[tokio::test]
async fn changes_are_recorded_with_what_was_before_and_without_secrets() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    let id = admin.post(PATH, user(1)).await.expect(201).json["id"].as_str().unwrap().to_owned();
    patch(&admin, &id, json!({"role": "mentor"})).await.expect(200);
    let suspended = act(&admin, &id, "suspend", Some(json!({"reason": "Spam"}))).await.expect(200).json;
    assert_eq!((&suspended["status"], &suspended["suspension_reason"]), (&json!("suspended"), &json!("Spam")));
    act(&admin, &id, "suspend", Some(json!({"reason": "Spam"}))).await.expect(200);
    assert_eq!(act(&admin, &id, "resume", None).await.expect(200).json["suspension_reason"], Value::Null);
    let token = act(&admin, &id, "password-reset", None).await.expect(200).json["token"].as_str().unwrap().to_owned();
    delete(&admin, &id).await.expect(204);
    app.run_jobs().await;
    let rows: Vec<(String, Value)> = sqlx::query_as(
        "SELECT action, metadata FROM activity_log WHERE target_id = $1::uuid AND actor_id = $2 ORDER BY occurred_at, id",
    )
    .bind(&id)
    .bind(admin.id)
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let actions: Vec<&str> = rows.iter().map(|(action, _)| action.as_str()).collect();
    let expected =
        ["user.created", "user.updated", "user.suspended", "user.resumed", "password_reset.created", "user.deleted"];
    assert_eq!(actions, expected);
    assert_eq!(rows[1].1, json!({"before": {"role": "student"}, "after": {"role": "mentor"}}));
    let suspended = json!({"status": "suspended", "suspension_reason": "Spam"});
    assert_eq!(rows[2].1, json!({"before": {"status": "active", "suspension_reason": null}, "after": suspended}));
    let everything = format!("{rows:?}");
    assert!(!everything.contains(&token) && !everything.contains("password_hash") && !everything.contains("argon2"));
    let stored = "SELECT count(*) FROM password_resets p WHERE to_jsonb(p)::text LIKE '%' || $1 || '%'";
    let stored: i64 = sqlx::query_scalar(stored).bind(&token).fetch_one(app.app.pool()).await.unwrap();
    assert_eq!(stored, 0, "only a hash of the token is stored");
}

#[tokio::test]
async fn suspended_deleted_and_demoted_users_lose_access_at_once() {
    let app = TestApp::new().await;
    let (admin, other) = (app.admin("root").await, app.admin("other").await);
    let (anna, ben, mia) = (app.student("anna").await, app.student("ben").await, app.mentor("mia").await);
    let sibling = app.sibling();
    act(&admin, anna.id, "suspend", Some(json!({"reason": "Spam"}))).await.expect(200);
    delete(&admin, ben.id).await.expect(204);
    for person in [&anna, &ben] {
        person.get("/v1/me").await.expect(401).problem("unauthorized");
        person.at(&sibling).get("/v1/me").await.expect(401).problem("unauthorized");
    }
    other.get(PATH).await.expect(200);
    patch(&admin, other.id, json!({"role": "student"})).await.expect(200);
    patch(&admin, mia.id, json!({"role": "admin"})).await.expect(200);
    // A resumed or restored account needs a new sign-in, and so does one with another role, even if it gets the old one back.
    act(&admin, anna.id, "resume", None).await.expect(200);
    act(&admin, ben.id, "restore", None).await.expect(200);
    patch(&admin, mia.id, json!({"role": "mentor"})).await.expect(200);
    for person in [&anna, &ben, &other, &mia] {
        person.get("/v1/me").await.expect(401).problem("unauthorized");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn the_last_active_admin_stays_one() {
    let app = TestApp::new().await;
    let (admin, second) = (app.admin("root").await, app.admin("second").await);
    act(&admin, second.id, "suspend", Some(json!({}))).await.expect(200);
    let deleted = app.admin("third").await;
    delete(&admin, deleted.id).await.expect(204);
    patch(&admin, admin.id, json!({"role": "mentor"})).await.expect(409).problem("last_admin");
    act(&admin, admin.id, "suspend", Some(json!({}))).await.expect(409).problem("last_admin");
    delete(&admin, admin.id).await.expect(409).problem("last_admin");
    for body in [
        json!({"ids": [admin.id], "action": "suspend"}),
        json!({"ids": [admin.id], "action": "delete"}),
        json!({"ids": [admin.id, second.id], "action": "set_role", "role": "student"}),
    ] {
        let reply = admin.post(&format!("{PATH}/bulk"), body).await.expect(200).json;
        assert_eq!(reply["results"][0], json!({"id": admin.id, "outcome": "last_admin"}));
    }
    admin.get(PATH).await.expect(200);
    patch(&admin, admin.id, json!({"first_name": "Ada"})).await.expect(200);
    act(&admin, second.id, "resume", None).await.expect(200);
    patch(&admin, second.id, json!({"role": "admin"})).await.expect(200);
    patch(&admin, admin.id, json!({"role": "mentor"})).await.expect(200);
    app.run_jobs().await;
}

/// Each would still see the other as an admin if they did not wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_admins_who_remove_each_other_one_stays() {
    let app = TestApp::new().await;
    for round in 0..12 {
        let (one, two) = (app.admin(&format!("one{round}")).await, app.admin(&format!("two{round}")).await);
        sqlx::query("UPDATE users SET role = 'student' WHERE role = 'admin' AND id NOT IN ($1, $2)")
            .bind(one.id)
            .bind(two.id)
            .execute(app.app.pool())
            .await
            .unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let attempts = [(one.clone(), two.clone()), (two.clone(), one.clone())].map(|(actor, victim)| {
            let (barrier, path) = (Arc::clone(&barrier), format!("{PATH}/{}", victim.id));
            tokio::spawn(async move {
                barrier.wait().await;
                match round % 4 {
                    0 => actor.patch(&path, json!({"role": "student"})).header("If-Match", "\"1\"").await,
                    1 => actor.post(&format!("{path}/suspend"), json!({})).header("If-Match", "\"1\"").await,
                    2 => actor.delete(&path).header("If-Match", "\"1\"").await,
                    _ => actor.post(&format!("{PATH}/bulk"), json!({"ids": [victim.id], "action": "delete"})).await,
                }
            })
        });
        let replies: Vec<Reply> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
        let succeeded = replies.iter().filter(|reply| reply.status.is_success() && !reply.text.contains("last_admin"));
        assert_eq!(succeeded.count(), 1, "{replies:#?}");
        let admins = "SELECT count(*) FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at IS NULL";
        assert_eq!(app.count(admins).await, 1, "round {round}");
    }
    app.run_jobs().await;
}

/// The ids of all pages of a list.
async fn pages(admin: &Actor, query: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{PATH}?limit=7&{query}{cursor}")).await.expect(200).json;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|user| user["first_name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn users_are_listed_by_filter_and_order_in_pages() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    sqlx::query(
        "INSERT INTO users (email, first_name, last_name, role, status, created_at, last_active_at, deleted_at)
         SELECT n || '@example.test', 'u' || to_char(n, 'FM000'), CASE WHEN n % 2 = 0 THEN 'Even' END,
             CASE WHEN n % 3 = 0 THEN 'mentor' ELSE 'student' END::user_role,
             CASE WHEN n % 5 = 0 THEN 'suspended' ELSE 'active' END::user_status,
             now() - n / 2 * interval '1 hour', CASE WHEN n % 4 = 0 THEN now() - n * interval '1 day' END,
             CASE WHEN n % 7 = 0 THEN now() END
         FROM generate_series(1, 60) n",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let live = |fits: fn(usize) -> bool| -> BTreeSet<String> {
        (1..=60).filter(|n| n % 7 != 0 && fits(*n)).map(|n| format!("u{n:03}")).collect()
    };
    for order in ["newest", "name", "last_active"] {
        for (filter, expected) in [
            ("", live(|_| true)),
            ("role=mentor", live(|n| n % 3 == 0)),
            ("status=suspended", live(|n| n % 5 == 0)),
            ("role=student&status=active", live(|n| n % 3 != 0 && n % 5 != 0)),
            ("deleted=true", (1..=60).filter(|n| n % 7 == 0).map(|n| format!("u{n:03}")).collect()),
            ("q=even", live(|n| n % 2 == 0)),
            ("q=even&role=mentor", live(|n| n % 2 == 0 && n % 3 == 0)),
        ] {
            let mut seen = pages(&admin, &format!("{filter}&sort={order}")).await;
            seen.retain(|name| name != "root");
            assert_eq!(seen.len(), expected.len(), "{order} {filter}: {seen:?}");
            assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), expected, "{order} {filter}");
        }
    }
    let by_name = pages(&admin, "sort=name&role=student").await;
    assert!(by_name.is_sorted(), "{by_name:?}");
    let newest = pages(&admin, "sort=newest&role=student").await;
    let hours: Vec<usize> = newest.iter().map(|name| name[1..].parse::<usize>().unwrap() / 2).collect();
    assert!(hours.is_sorted(), "{newest:?}");
    let active = pages(&admin, "sort=last_active").await;
    let days: Vec<usize> = active.iter().filter_map(|name| name[1..].parse().ok()).take_while(|n| n % 4 == 0).collect();
    assert_eq!(days, (1..=60).filter(|n| n % 4 == 0 && n % 7 != 0).collect::<Vec<_>>(), "who never was comes last");
    for bad in ["x", "W10"] {
        let reply = admin.get(&format!("{PATH}?cursor={bad}")).await.expect(400);
        reply.problem("malformed_parameter").blames(&[("cursor", "malformed")]);
    }
}

#[tokio::test]
async fn people_are_found_by_the_beginnings_of_words() {
    let app = TestApp::new().await;
    let admin = app.admin("root").await;
    for (email, first, last) in [
        ("anna.moreno@school.test", "Anna", Some("Moreno")),
        ("joanna@school.test", "Joanna", Some("O'Neil")),
        ("petrov@school.test", "Пётр", Some("Ёлкин")),
        ("100%@school.test", "Per_Cent", None),
        ("back\\slash@school.test", "Back", None),
    ] {
        sqlx::query("INSERT INTO users (email, first_name, last_name) VALUES ($1, $2, $3)")
            .bind(email)
            .bind(first)
            .bind(last)
            .execute(app.app.pool())
            .await
            .unwrap();
    }
    for (query, expected) in [
        ("ann", vec!["Anna"]),
        ("ANN%20mor", vec!["Anna"]),
        ("moreno%20anna", vec!["Anna"]),
        ("anna.moreno@school.test", vec!["Anna"]),
        ("o'neil", vec!["Joanna"]),
        ("%D0%BF%D1%91%D1%82", vec!["Пётр"]),
        ("%D0%81%D0%9B%D0%9A%D0%98%D0%9D", vec!["Пётр"]),
        ("school", vec!["Anna", "Back", "Joanna", "Per_Cent", "Пётр"]),
        ("100%25", vec!["Per_Cent"]),
        ("per_cent", vec!["Per_Cent"]),
        ("back%5Cslash", vec!["Back"]),
        ("%25", vec![]),
        ("___", vec![]),
        ("'", vec![]),
        ("%5C", vec![]),
        (":*", vec![]),
        ("nobody", vec![]),
        ("ann%20nobody", vec![]),
    ] {
        let page = admin.get(&format!("{PATH}?sort=name&q={query}")).await.expect(200).json;
        let found: Vec<&str> =
            page["items"].as_array().unwrap().iter().map(|user| user["first_name"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
    }
}
