//! Writing the activity log.

use cairn_core::activity::{self, Event, Target};
use cairn_core::actor::Origin;
use cairn_core::clock::{Clock, new_id};
use cairn_core::noun::Noun;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;

use cairn_testing::database::{TestDb, rows, scalar, until_waiting};
use cairn_testing::rows::add_user;

fn event(actor: Option<Uuid>, occurred_at: DateTime<Utc>) -> Event {
    Event {
        id: new_id(),
        occurred_at,
        actor_id: actor,
        action: "lesson.started".to_owned(),
        target: None,
        metadata: serde_json::json!({}),
        origin: Origin::default(),
    }
}

async fn insert(test: &TestDb, events: &[Event]) {
    activity::insert(&mut test.pool().acquire().await.unwrap(), events).await.unwrap();
}

async fn last_active(test: &TestDb, user: Uuid) -> Option<DateTime<Utc>> {
    scalar(test.pool(), format!("SELECT last_active_at FROM users WHERE id = '{user}'")).await
}

async fn logged(test: &TestDb) -> i64 {
    scalar(test.pool(), "SELECT count(*) FROM activity_log").await
}

fn now() -> DateTime<Utc> {
    Clock::default().now().trunc_subsecs(6)
}

#[tokio::test]
async fn an_event_is_stored_as_it_was_told() {
    let test = TestDb::new().await;
    let actor = new_id();
    let target = Target::new(Noun::Lesson, new_id(), &"é".repeat(400));
    let origin = Origin { ip: Some("2001:db8::1".parse().unwrap()), user_agent: Some("Browser".into()) };
    let metadata = serde_json::json!({ "before": null, "after": ["x"] });

    let recorded = Event { origin, target: Some(target.clone()), metadata, ..event(Some(actor), now()) };
    insert(&test, &[recorded.clone(), event(None, now())]).await;
    let stored: Vec<(Uuid, String, String, Uuid, String, serde_json::Value, String, String)> = rows(
        test.pool(),
        "SELECT actor_id, action, target_type, target_id, target_title, metadata, host(ip), user_agent
         FROM activity_log WHERE actor_id IS NOT NULL",
    )
    .await;
    let expected = (
        actor,
        "lesson.started".to_owned(),
        "lesson".to_owned(),
        target.id,
        "é".repeat(300),
        recorded.metadata,
        "2001:db8::1".to_owned(),
        "Browser".to_owned(),
    );
    assert_eq!(stored, [expected]);
    assert_eq!(logged(&test).await, 2, "the system acts too");
    insert(&test, &[]).await;
}

#[tokio::test]
async fn an_event_is_one_row_however_often_it_is_written() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    let events: Vec<Event> = (0..20).map(|_| event(Some(user), Clock::default().now())).collect();
    // As it is read from a stored job.
    let copies: Vec<Event> = serde_json::from_str(&serde_json::to_string(&events).unwrap()).unwrap();
    insert(&test, &[events.clone(), copies.clone()].concat()).await;
    insert(&test, &copies).await;
    assert_eq!(logged(&test).await, 20);
}

/// Two batches contain the same events in different orders, as when jobs run again after a rescue.
#[tokio::test]
async fn groups_that_share_events_do_not_wait_in_a_circle() {
    let test = TestDb::new().await;
    let events: Vec<Event> = (0..3).map(|_| event(None, now())).collect();
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN").execute(&mut open).await.unwrap();
    activity::insert(&mut open, &events[1..2]).await.unwrap();
    let mut tasks = JoinSet::new();
    for mut group in [events.clone(), events.clone()] {
        if tasks.len() == 1 {
            group.reverse();
        }
        let pool = test.pool().clone();
        tasks.spawn(async move {
            let mut connection = pool.acquire().await.unwrap();
            activity::insert(&mut connection, &group).await.map_err(|error| error.to_string())
        });
    }
    until_waiting(test.pool(), 2).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut open).await.unwrap();
    for result in tasks.join_all().await {
        result.unwrap();
    }
    assert_eq!(logged(&test).await, 3);
}

#[tokio::test]
async fn last_active_moves_at_most_once_a_minute() {
    let test = TestDb::new().await;
    let (user, other) = (add_user(test.pool()).await, add_user(test.pool()).await);
    let start = now();
    let after = |seconds| start + TimeDelta::seconds(seconds);
    insert(&test, &[event(Some(user), start)]).await;
    assert_eq!(last_active(&test, user).await, Some(start));
    assert_eq!(last_active(&test, other).await, None);
    insert(&test, &[event(Some(user), after(59)), event(Some(user), after(60))]).await;
    assert_eq!(last_active(&test, user).await, Some(start), "not within a minute");
    // The latest time of each person counts, whatever the order in the batch.
    insert(
        &test,
        &[
            event(Some(user), after(90)),
            event(Some(user), after(61)),
            event(Some(other), after(10)),
            event(None, after(500)),
        ],
    )
    .await;
    assert_eq!(last_active(&test, user).await, Some(after(90)));
    assert_eq!(last_active(&test, other).await, Some(after(10)));
    insert(&test, &[event(Some(user), after(-3600)), event(Some(user), start)]).await;
    assert_eq!(last_active(&test, user).await, Some(after(90)), "never back");
    insert(&test, &[event(Some(new_id()), after(100))]).await;
}

/// Two concurrent batches contain events of the same person. Neither waits for the other.
#[tokio::test]
async fn whoever_comes_second_tries_again_and_sees_that_the_time_has_moved() {
    let test = TestDb::new().await;
    let user = add_user(test.pool()).await;
    let (first, second) = (event(Some(user), now()), event(Some(user), now() + TimeDelta::seconds(30)));
    // It is not their first activity in this quarter of an hour, which is a row that the second would wait for.
    for time in [first.occurred_at, second.occurred_at] {
        sqlx::query(
            "INSERT INTO active_quarters (quarter, user_id) VALUES (quarter_of($1), $2) ON CONFLICT DO NOTHING",
        )
        .bind(time)
        .bind(user)
        .execute(test.owner())
        .await
        .unwrap();
    }
    let mut open = test.connect().await;
    sqlx::raw_sql("BEGIN").execute(&mut open).await.unwrap();
    assert!(activity::insert(&mut open, std::slice::from_ref(&first)).await.unwrap().is_empty());
    let mut other = test.connect().await;
    let again = std::slice::from_ref(&second);
    assert_eq!(activity::insert(&mut other, again).await.unwrap(), [user]);
    assert_eq!(logged(&test).await, 1, "the event itself is stored");
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    assert!(activity::insert(&mut other, again).await.unwrap().is_empty());
    assert_eq!(last_active(&test, user).await, Some(first.occurred_at));
    assert_eq!(logged(&test).await, 2);
}

/// A user is locked by somebody else, such as an admin who changes the address by hand.
#[tokio::test]
async fn a_user_who_is_locked_delays_nobody_else() {
    let test = TestDb::new().await;
    let (locked, free) = (add_user(test.pool()).await, add_user(test.pool()).await);
    let mut open = test.connect().await;
    let hold = format!("BEGIN; SELECT FROM users WHERE id = '{locked}' FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut open).await.unwrap();
    let events = [event(Some(locked), now()), event(Some(free), now())];
    let mut other = test.connect().await;
    assert_eq!(activity::insert(&mut other, &events).await.unwrap(), [locked]);
    assert_eq!(logged(&test).await, 2);
    assert_eq!(last_active(&test, free).await, Some(events[1].occurred_at));
    assert_eq!(last_active(&test, locked).await, None);
    sqlx::raw_sql("ROLLBACK").execute(&mut open).await.unwrap();
    assert!(activity::insert(&mut other, &events).await.unwrap().is_empty());
    assert_eq!(last_active(&test, locked).await, Some(events[0].occurred_at));
    assert_eq!(logged(&test).await, 2);
}
