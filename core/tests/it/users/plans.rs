//! How many users the admins' lists read, however many there are.

use cairn_core::actor::Role;
use cairn_core::users::directory::UserStatus;
use cairn_core::users::listing::{self, Filter};
use sqlx::PgConnection;

use cairn_testing::database::{TestDb, run};

const FILL: &str = "
    INSERT INTO users (email, first_name, last_name, role, status, created_at, last_active_at)
    SELECT n || '@school.test', 'Learner' || n % 100, CASE WHEN n % 4000 = 7 THEN 'Zelda' ELSE 'Moreno' END,
        CASE WHEN n % 1000 = 0 THEN 'mentor' WHEN n % 5000 = 1 THEN 'admin' ELSE 'student' END::user_role,
        CASE WHEN n % 2000 = 3 THEN 'suspended' ELSE 'active' END::user_status,
        now() - n * interval '1 minute', CASE WHEN n % 3 > 0 THEN now() - n * interval '1 second' END
    FROM generate_series(1, 20000) n;
    VACUUM ANALYZE users";

async fn rows_read(connection: &mut PgConnection) -> i64 {
    let query =
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'users'";
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_page_of_users_reads_about_as_many_as_it_shows() {
    let test = TestDb::new().await;
    for statement in FILL.split_inclusive(";\n") {
        run(test.owner(), statement).await;
    }
    let mut tx = test.db.begin().await.unwrap();
    let filters = [
        (Filter::default(), 300),
        (Filter { role: Some(Role::Student), ..Filter::default() }, 300),
        (Filter { role: Some(Role::Admin), ..Filter::default() }, 300),
        (Filter { status: Some(UserStatus::Suspended), ..Filter::default() }, 300),
        (Filter { deleted: true, ..Filter::default() }, 300),
        // Everybody, five, and nobody.
        (Filter { text: Some("more".to_owned()), ..Filter::default() }, 2700),
        (Filter { text: Some("zelda".to_owned()), ..Filter::default() }, 2700),
        (Filter { text: Some("zel lear".to_owned()), role: Some(Role::Student), ..Filter::default() }, 2700),
        (Filter { text: Some("nobody".to_owned()), ..Filter::default() }, 2700),
    ];
    for (filter, most) in &filters {
        macro_rules! measured {
            ($list:expr) => {{
                let before = rows_read(&mut tx).await;
                let page = $list.await.unwrap();
                let read = rows_read(&mut tx).await - before;
                assert!(read <= *most, "{read} rows were read: {} for {filter:?}", stringify!($list));
                page
            }};
        }
        let page = measured!(listing::by_newest(&mut tx, filter, None, 21));
        if let Some(last) = page.last() {
            measured!(listing::by_newest(&mut tx, filter, Some((last.created_at, last.id)), 21));
        }
        measured!(listing::by_name(&mut tx, filter, None, 21));
        measured!(listing::by_name(
            &mut tx,
            filter,
            Some(("learner80".to_owned(), page.first().map_or_else(uuid::Uuid::nil, |user| user.id))),
            21
        ));
        let page = measured!(listing::by_last_active(&mut tx, filter, None, 21));
        if let Some(last) = page.last() {
            measured!(listing::by_last_active(&mut tx, filter, Some((last.sort_active, last.id)), 21));
        }
        // Far behind.
        let deep = cairn_core::clock::Clock::default().now() - chrono::TimeDelta::minutes(15_000);
        measured!(listing::by_newest(&mut tx, filter, Some((deep, uuid::Uuid::nil())), 21));
    }
}
