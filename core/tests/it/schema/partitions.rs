//! The monthly partitions of the activity log.

use cairn_core::clock::new_id;
use chrono::{DateTime, TimeZone, Utc};

use cairn_testing::database::{TestDb, rows, run, scalar, until_waiting};

fn time(year: i32, month: u32, day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(year, month, day, 12, 0, 0).unwrap()
}

async fn log(test: &TestDb, occurred_at: DateTime<Utc>) {
    let id = new_id();
    let values = format!("'{id}', '{}', 'user.registered'", occurred_at.to_rfc3339());
    run(test.pool(), format!("INSERT INTO activity_log (id, occurred_at, action) VALUES ({values})")).await;
}

/// Where the rows are.
async fn places(test: &TestDb) -> Vec<(String, i64)> {
    rows(test.pool(), "SELECT tableoid::regclass::text, count(*) FROM activity_log GROUP BY 1 ORDER BY 1").await
}

async fn partitions(test: &TestDb) -> Vec<String> {
    let query =
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'activity_log'::regclass ORDER BY 1";
    rows::<(String,)>(test.pool(), query).await.into_iter().map(|row| row.0).collect()
}

async fn create(test: &TestDb, start: DateTime<Utc>, months: i32) -> i32 {
    let start = start.to_rfc3339();
    scalar(test.pool(), format!("SELECT create_activity_partitions('{start}', {months})")).await
}

async fn drop_old(test: &TestDb, today: DateTime<Utc>, keep: i32) -> i32 {
    let today = today.to_rfc3339();
    scalar(test.pool(), format!("SELECT drop_activity_partitions('{today}', {keep})")).await
}

#[tokio::test]
async fn the_next_months_have_partitions_from_the_start() {
    let test = TestDb::new().await;
    let now: DateTime<Utc> = scalar(test.pool(), "SELECT now()").await;
    for months in 0..=2 {
        log(&test, now + chrono::Months::new(months)).await;
    }
    let places = places(&test).await;
    assert_eq!(places.len(), 3, "{places:?}");
    assert!(places.iter().all(|(name, _)| name.starts_with("activity_log_20")), "{places:?}");
}

#[tokio::test]
async fn the_session_does_not_decide_where_months_begin() {
    let test = TestDb::new().await;
    let mut connection = test.pool().acquire().await.unwrap();
    for (year, zone, style) in
        [(2051, "Asia/Kathmandu", "SQL, DMY"), (2052, "America/Caracas", "German"), (2053, "UTC", "Postgres, MDY")]
    {
        let set = format!("SET TimeZone = '{zone}'; SET DateStyle = '{style}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *connection).await.unwrap();
        let start = Utc.with_ymd_and_hms(year, 2, 28, 23, 30, 0).unwrap();
        let created: i32 = sqlx::query_scalar("SELECT create_activity_partitions($1, 1)")
            .bind(start)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(created, 2);
        for (day, month) in [((1, 0, 0), 2), ((28, 23, 59), 2), ((1, 0, 0), 3)] {
            let at = Utc.with_ymd_and_hms(year, month, day.0, day.1, day.2, 0).unwrap();
            let id = new_id();
            sqlx::query("INSERT INTO activity_log (id, occurred_at, action) VALUES ($1, $2, 'user.registered')")
                .bind(id)
                .bind(at)
                .execute(&mut *connection)
                .await
                .unwrap();
            let place: String = sqlx::query_scalar("SELECT tableoid::regclass::text FROM activity_log WHERE id = $1")
                .bind(id)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            assert_eq!(place, format!("activity_log_{year}_{month:02}"), "{at} in {zone}");
        }
    }
}

#[tokio::test]
async fn partitions_are_created_once_and_take_their_rows_over() {
    let test = TestDb::new().await;
    log(&test, time(2040, 3, 31)).await;
    log(&test, time(2040, 4, 1)).await;
    log(&test, time(2040, 6, 1)).await;
    assert_eq!(places(&test).await, [("activity_log_default".to_owned(), 3)], "no event is ever refused");
    assert_eq!(create(&test, time(2040, 3, 5), 2).await, 3);
    let expected = [("activity_log_2040_03", 1), ("activity_log_2040_04", 1), ("activity_log_default", 1)];
    assert_eq!(places(&test).await, expected.map(|(name, n)| (name.to_owned(), n)));
    assert_eq!(create(&test, time(2040, 3, 5), 2).await, 0, "a second time");
    assert_eq!(create(&test, time(2040, 4, 30), 2).await, 1, "one month on");
    log(&test, time(2040, 5, 31)).await;
    assert!(places(&test).await.contains(&("activity_log_2040_05".to_owned(), 1)));
    // As good as the first ones: the same event twice is refused in each.
    let indexes: i64 = scalar(test.pool(), "SELECT count(DISTINCT n) FROM (SELECT count(*) AS n FROM pg_indexes WHERE tablename LIKE 'activity_log_2%' GROUP BY tablename) i").await;
    assert_eq!(indexes, 1);
}

/// The first and the last microsecond of a month, in whichever time zone the session is.
#[tokio::test]
async fn months_are_those_of_utc() {
    let test = TestDb::new().await;
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        run(
            test.pool(),
            format!(
                "BEGIN; SET LOCAL TimeZone = '{zone}';
                 SELECT create_activity_partitions('2041-01-31 23:59:59.999999+00', 0);
                 SELECT create_activity_partitions('2041-02-01 00:00:00+00', 0);
                 COMMIT"
            ),
        )
        .await;
    }
    for second in [
        "2041-01-01 00:00:00+00",
        "2041-01-31 23:59:59.999999+00",
        "2041-02-01 00:00:00+00",
        "2041-02-28 23:59:59.999999+00",
    ] {
        run(
            test.pool(),
            format!(
                "INSERT INTO activity_log (id, occurred_at, action) VALUES ('{}', '{second}', 'user.registered')",
                new_id()
            ),
        )
        .await;
    }
    let expected = [("activity_log_2041_01", 2), ("activity_log_2041_02", 2)];
    assert_eq!(places(&test).await, expected.map(|(name, n)| (name.to_owned(), n)));
    // 00:30 on 1 March UTC is still February in Pago Pago; the retention must not mind.
    let dropped = "BEGIN; SET LOCAL TimeZone = 'Pacific/Pago_Pago';
        SELECT drop_activity_partitions('2041-03-01 00:30:00+00', 1); COMMIT";
    run(test.pool(), dropped).await;
    assert!(!partitions(&test).await.contains(&"activity_log_2041_01".to_owned()), "it ended a month ago");
    assert!(partitions(&test).await.contains(&"activity_log_2041_02".to_owned()));
}

#[tokio::test]
async fn two_processes_create_and_drop_the_same_partitions_at_once() {
    let test = TestDb::new().await;
    let mut open = test.connect().await;
    for (statement, expected) in [
        ("SELECT create_activity_partitions('2042-01-15 00:00:00+00', 3)", 4),
        ("SELECT drop_activity_partitions('2050-01-15 00:00:00+00', 1)", partitions(&test).await.len() + 3),
    ] {
        sqlx::raw_sql("BEGIN").execute(&mut open).await.unwrap();
        let first: i32 = sqlx::query_scalar(statement).fetch_one(&mut open).await.unwrap();
        assert_eq!(usize::try_from(first).unwrap(), expected, "{statement}");
        let second = tokio::spawn({
            let pool = test.pool().clone();
            async move { sqlx::query_scalar::<_, i32>(statement).fetch_one(&pool).await }
        });
        until_waiting(test.pool(), 1).await;
        sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
        assert_eq!(second.await.unwrap().unwrap(), 0, "{statement}");
    }
}

/// An event of the month that is just being created.
#[tokio::test]
async fn an_event_that_is_being_written_does_not_stop_the_creation() {
    let test = TestDb::new().await;
    let mut open = test.connect().await;
    let insert = format!(
        "BEGIN; INSERT INTO activity_log (id, occurred_at, action) VALUES ('{}', '2043-01-15 00:00:00+00', 'user.registered')",
        new_id()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut open).await.unwrap();
    let creation = tokio::spawn({
        let pool = test.pool().clone();
        async move {
            let query = "SELECT create_activity_partitions('2043-01-01 00:00:00+00', 0)";
            sqlx::query_scalar::<_, i32>(query).fetch_one(&pool).await
        }
    });
    until_waiting(test.pool(), 1).await;
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    assert_eq!(creation.await.unwrap().unwrap(), 1);
    assert_eq!(places(&test).await, [("activity_log_2043_01".to_owned(), 1)]);
}

#[tokio::test]
async fn old_months_are_dropped_and_the_rest_is_kept() {
    let test = TestDb::new().await;
    create(&test, time(2020, 1, 1), 5).await;
    for month in 1..=6 {
        log(&test, time(2020, month, 10)).await;
    }
    // Caught by the default partition: one that is too old, one that is not.
    log(&test, time(2019, 12, 31)).await;
    log(&test, time(2020, 8, 1)).await;
    assert_eq!(drop_old(&test, time(2020, 6, 15), 3).await, 2);
    let expected = [
        ("activity_log_2020_03", 1),
        ("activity_log_2020_04", 1),
        ("activity_log_2020_05", 1),
        ("activity_log_2020_06", 1),
        ("activity_log_default", 1),
    ];
    assert_eq!(places(&test).await, expected.map(|(name, n)| (name.to_owned(), n)));
    assert_eq!(drop_old(&test, time(2020, 6, 15), 3).await, 0);
    // At a month's first and last day.
    assert_eq!(drop_old(&test, time(2020, 6, 30), 3).await, 0);
    assert_eq!(drop_old(&test, time(2020, 7, 1), 3).await, 1);
}
