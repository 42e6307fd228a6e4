//! Uses of style cards and prompts: recorded as rows, counted by the worker, each once.

use uuid::Uuid;

use cairn_testing::database::{TestDb, rows, run, scalar, until_waiting};

async fn add_style(test: &TestDb) -> Uuid {
    let columns = "(slug, title, category, updated_at) VALUES (gen_random_uuid(), 'X', 'retro', '2020-01-01')";
    scalar(test.pool(), format!("INSERT INTO style_cards {columns} RETURNING id")).await
}

async fn add_prompt(test: &TestDb) -> Uuid {
    run(test.pool(), "INSERT INTO prompt_categories (slug, name, kind) VALUES ('xx', 'X', 'design')").await;
    let insert =
        "INSERT INTO prompts (category_id, slug, title, body) SELECT id, 'xx', 'X', 'X' FROM prompt_categories";
    scalar(test.pool(), format!("{insert} RETURNING id")).await
}

/// A statement that records this many uses of a style card.
fn uses(style: Uuid, n: u32) -> String {
    format!("INSERT INTO library_uses (item_kind, item_id) SELECT 'style_card', '{style}' FROM generate_series(1, {n})")
}

async fn roll_up(test: &TestDb, style: Uuid) -> i32 {
    scalar(test.pool(), format!("SELECT roll_up_uses('style_card', '{style}')")).await
}

/// The stored count of a style card, and whether it is the sum of its days.
async fn count(test: &TestDb, style: Uuid) -> (i32, bool) {
    let query = format!(
        "SELECT usage_count, usage_count = (SELECT coalesce(sum(uses), 0) FROM library_daily_uses WHERE item_id = s.id)
         FROM style_cards s WHERE id = '{style}'"
    );
    rows(test.pool(), query).await[0]
}

async fn waiting(test: &TestDb) -> i64 {
    scalar(test.pool(), "SELECT count(*) FROM library_uses").await
}

#[tokio::test]
async fn uses_are_counted_once_by_day_and_item() {
    let test = TestDb::new().await;
    let (style, other) = (add_style(&test).await, add_style(&test).await);
    run(
        test.pool(),
        format!(
            "SET TimeZone = 'Pacific/Kiritimati';
             INSERT INTO library_uses (item_kind, item_id, used_at) VALUES
                 ('style_card', '{style}', '2040-01-31 23:59:59+00'), ('style_card', '{style}', '2040-02-01 00:00:00+00'),
                 ('style_card', '{style}', '2040-02-01 12:00:00+00'), ('style_card', '{other}', '2040-02-01 12:00:00+00');
             RESET TimeZone"
        ),
    )
    .await;
    assert_eq!((roll_up(&test, style).await, roll_up(&test, style).await), (3, 0), "a job that is repeated");
    assert_eq!((count(&test, style).await, count(&test, other).await), ((3, true), (0, true)));
    assert_eq!(roll_up(&test, other).await, 1);
    run(test.pool(), uses(style, 2)).await;
    assert_eq!(roll_up(&test, style).await, 2);
    assert_eq!((count(&test, style).await, count(&test, other).await), ((5, true), (1, true)));
    assert_eq!(waiting(&test).await, 0);
    let days = format!(
        "SELECT day::text, uses FROM library_daily_uses WHERE item_id = '{style}' AND day > '2039-01-01' ORDER BY day"
    );
    let expected = [("2040-01-31", 1), ("2040-02-01", 2)].map(|(day, n)| (day.to_owned(), n));
    assert_eq!(rows::<(String, i64)>(test.pool(), days).await, expected);
    let edited = "SELECT count(*) FROM style_cards WHERE version > 1 OR updated_at > '2020-01-01'";
    assert_eq!(scalar::<i64>(test.pool(), edited).await, 0, "to be used is no edit");
}

#[tokio::test]
async fn prompts_are_counted_in_the_same_way() {
    let test = TestDb::new().await;
    let prompt = add_prompt(&test).await;
    run(test.pool(), format!("INSERT INTO library_uses (item_kind, item_id) VALUES ('prompt', '{prompt}')")).await;
    assert_eq!(roll_up(&test, prompt).await, 0, "it is no style card");
    run(test.pool(), format!("INSERT INTO library_uses (item_kind, item_id) VALUES ('prompt', '{prompt}')")).await;
    assert_eq!(scalar::<i32>(test.pool(), format!("SELECT roll_up_uses('prompt', '{prompt}')")).await, 2);
    assert_eq!(scalar::<i32>(test.pool(), "SELECT copy_count FROM prompts").await, 2);
}

#[tokio::test]
async fn many_uses_are_counted_in_parts() {
    let test = TestDb::new().await;
    let style = add_style(&test).await;
    run(test.pool(), uses(style, 10_001)).await;
    let mut connection = test.connect().await;
    let rolls_up = format!("BEGIN; SELECT roll_up_uses('style_card', '{style}')");
    sqlx::raw_sql(sqlx::AssertSqlSafe(rolls_up)).execute(&mut connection).await.unwrap();
    // Although the planner has not heard of them.
    let read =
        "SELECT (seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE relname = 'library_uses'";
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut connection).await.unwrap();
    assert!(read < 50_000, "{read} rows were read to count 10,000");
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
    assert_eq!(count(&test, style).await, (10_000, true));
    assert_eq!((roll_up(&test, style).await, count(&test, style).await), (1, (10_001, true)));
}

#[tokio::test]
async fn a_count_that_was_changed_by_hand_is_mended() {
    let test = TestDb::new().await;
    let style = add_style(&test).await;
    run(test.pool(), uses(style, 2)).await;
    roll_up(&test, style).await;
    run(test.pool(), "UPDATE style_cards SET usage_count = 7").await;
    assert_eq!((roll_up(&test, style).await, count(&test, style).await), (0, (2, true)));
}

/// Neither waits for the other, and what the one does not see is there for the next one.
#[tokio::test]
async fn recording_and_counting_do_not_wait_for_each_other() {
    let test = TestDb::new().await;
    let style = add_style(&test).await;
    run(test.pool(), uses(style, 1)).await;
    let (mut recording, mut counting) = (test.connect().await, test.connect().await);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; {}", uses(style, 1)))).execute(&mut recording).await.unwrap();
    let counts = format!("BEGIN; SELECT roll_up_uses('style_card', '{style}')");
    sqlx::raw_sql(sqlx::AssertSqlSafe(counts)).execute(&mut counting).await.unwrap();
    run(test.pool(), uses(style, 1)).await;
    sqlx::raw_sql("COMMIT").execute(&mut recording).await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut counting).await.unwrap();
    assert_eq!(
        (count(&test, style).await, waiting(&test).await),
        ((0, true), 3),
        "a roll-up that was lost lost nothing"
    );
    assert_eq!((roll_up(&test, style).await, count(&test, style).await), (3, (3, true)));
}

/// The second one has to see the days of the first, also those that it does not add to itself.
#[tokio::test]
async fn two_rollups_at_once_count_everything_once() {
    let test = TestDb::new().await;
    let style = add_style(&test).await;
    run(test.pool(), uses(style, 3)).await;
    let mut first = test.connect().await;
    let rolls_up = format!("SELECT roll_up_uses('style_card', '{style}')");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; {rolls_up}"))).execute(&mut first).await.unwrap();
    let on_another_day = "INSERT INTO library_uses (item_kind, item_id, used_at) VALUES ('style_card'";
    run(test.pool(), format!("{on_another_day}, '{style}', '2040-01-01')")).await;
    let second = tokio::spawn({
        let (pool, rolls_up) = (test.pool().clone(), rolls_up.clone());
        async move { scalar::<i32>(&pool, rolls_up).await }
    });
    until_waiting(test.pool(), 1).await;
    sqlx::raw_sql("COMMIT").execute(&mut first).await.unwrap();
    assert_eq!((second.await.unwrap(), count(&test, style).await), (1, (4, true)));
}

#[tokio::test]
async fn whoever_records_and_counts_meanwhile_the_sum_is_exact() {
    let test = TestDb::with_connections(10).await;
    let style = add_style(&test).await;
    let recorders = (0..6).map(|_| {
        let pool = test.pool().clone();
        tokio::spawn(async move {
            for _ in 0..40 {
                run(&pool, uses(style, 1)).await;
            }
            0
        })
    });
    let counters = (0..3).map(|_| {
        let pool = test.pool().clone();
        tokio::spawn(async move {
            let mut counted = 0;
            for _ in 0..30 {
                counted += scalar::<i32>(&pool, format!("SELECT roll_up_uses('style_card', '{style}')")).await;
            }
            counted
        })
    });
    let mut counted = 0;
    for task in recorders.chain(counters).collect::<Vec<_>>() {
        counted += task.await.unwrap();
    }
    counted += roll_up(&test, style).await;
    assert_eq!((counted, count(&test, style).await, waiting(&test).await), (240, (240, true), 0));
}

#[tokio::test]
async fn uses_go_with_their_item() {
    let test = TestDb::new().await;
    let (style, prompt) = (add_style(&test).await, add_prompt(&test).await);
    for (table, kind, item) in [("style_cards", "style_card", style), ("prompts", "prompt", prompt)] {
        run(
            test.pool(),
            format!(
                "INSERT INTO library_uses (item_kind, item_id) VALUES ('{kind}', '{item}');
                 SELECT roll_up_uses('{kind}', '{item}');
                 INSERT INTO library_uses (item_kind, item_id) VALUES ('{kind}', '{item}');
                 DELETE FROM {table}"
            ),
        )
        .await;
    }
    // One that was recorded while its item was deleted.
    run(test.pool(), uses(style, 1)).await;
    assert_eq!(roll_up(&test, style).await, 0);
    assert_eq!(waiting(&test).await, 0);
    assert_eq!(scalar::<i64>(test.pool(), "SELECT count(*) FROM library_daily_uses").await, 0);
}
