//! Each alarm of `deploy/alerts.yml`, fired by its fault: the programs run as processes, and the rule is evaluated on what they show.

mod platform;
mod rules;

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use cairn_core::activity::Event;
use cairn_core::db::{Purpose, lazy_pool};
use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use cairn_testing::database::{TestDb, run, scalar};
use cairn_testing::eventually;
use cairn_testing::processes::free_port;
use cairn_testing::rows::{add_liked_projects, add_person};
use sqlx::Connection;

use self::platform::Platform;

/// A worker that works one queue only.
const ONE_QUEUE: (&str, &str) = ("CAIRN_WORKER_QUEUES", "likes");

#[test]
fn every_alarm_is_documented_and_fired_by_a_test() {
    let (operations, tests) = (include_str!("../../../../docs/OPERATIONS.md"), include_str!("mod.rs"));
    let table = |name: &str| operations.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    let rules = rules::all();
    assert!(rules.len() > 15);
    for rule in &rules {
        let name = &rule.name;
        let row =
            table(name).unwrap_or_else(|| panic!("{name} is missing in the table of alarms in docs/OPERATIONS.md"));
        // A bar would end the cell.
        assert!(row.contains(&format!("`{}`", rule.expression)), "{name}: the table has another condition");
        assert!(row.contains(&format!("| {} |", rule.lasting)), "{name}: the table has another duration");
        assert!(tests.contains(&format!("\"{name}\"")), "{name}: no test fires it");
    }
    let documented = operations.lines().filter(|line| line.starts_with("| `Cairn")).count();
    assert_eq!(documented, rules.len(), "the table has alarms that are not in deploy/alerts.yml");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alarm_sounds_while_nothing_is_wrong() {
    let platform = Platform::start(&[]).await;
    let before = platform.scrape().await;
    let token = platform.token("anna").await;
    for _ in 0..20 {
        let answer = platform.client.get(platform.url("/v1/me")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    add_liked_projects(platform.database.pool(), 3).await;
    eventually("the likes are counted", async || {
        scalar(platform.database.pool(), "SELECT NOT EXISTS (SELECT FROM likes_dirty)").await
    })
    .await;
    // The schedules have ticked, and every queue has its worker.
    eventually("all is quiet", async || {
        let after = platform.scrape().await;
        rules::all().iter().all(|rule| !rule.holds(&before, &after))
    })
    .await;
    assert_eq!(platform.readiness().await, [Some(200), Some(200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_writes() {
    let platform = Platform::start(&[]).await;
    let (read_only, errors) = (platform.silent("CairnDatabaseReadOnly").await, platform.silent("CairnErrors").await);
    let token = platform.token("anna").await;
    let name = platform.database_name().await;
    let before = platform.scrape().await;
    platform.superuser(format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    platform.end_sessions().await;
    platform.until(&read_only, &before, async || ()).await;
    eventually("both are not ready", async || platform.readiness().await == [Some(503), Some(503)]).await;
    let logout =
        async || platform.client.post(platform.url("/v1/auth/logout")).bearer_auth(&token).send().await.unwrap();
    let answer = logout().await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    platform.until(&errors, &before, async || ()).await;

    platform
        .superuser(format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"))
        .await;
    assert_eq!(logout().await.status(), 204, "the first request after that succeeds");
    eventually("both are ready", async || platform.readiness().await == [Some(200), Some(200)]).await;
    eventually("the alarm is over", async || {
        let after = platform.scrape().await;
        !read_only.holds(&before, &after)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_and_comes_back() {
    let platform = Platform::start(&[]).await;
    let down = platform.silent("CairnDatabaseDown").await;
    let name = platform.database_name().await;
    let before = platform.scrape().await;
    platform.elsewhere(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    platform
        .elsewhere(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        .await;
    platform.until(&down, &before, async || ()).await;
    eventually("both are not ready", async || platform.readiness().await == [Some(503), Some(503)]).await;
    platform.elsewhere(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    eventually("both are ready", async || platform.readiness().await == [Some(200), Some(200)]).await;
}

/// Requests hang on a lock. The API is not ready while none of its connections is free, and ready once they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up() {
    let platform = Platform::start(&[]).await;
    let full = platform.silent("CairnPoolFull").await;
    let mut tokens = Vec::new();
    for n in 0..6 {
        tokens.push(platform.token(&format!("learner-{n}")).await);
    }
    let before = platform.scrape().await;
    let mut session = platform.superuser_session().await;
    let mut lock = session.begin().await.unwrap();
    sqlx::query("LOCK TABLE sessions").execute(&mut *lock).await.unwrap();
    let requests: Vec<_> = tokens
        .iter()
        .map(|token| tokio::spawn(platform.client.get(platform.url("/v1/me")).bearer_auth(token).send()))
        .collect();
    platform.until(&full, &before, async || ()).await;
    eventually("the API is not ready", async || platform.readiness().await[0] == Some(503)).await;
    lock.rollback().await.unwrap();
    for request in requests {
        let _ = request.await.unwrap(); // whatever its answer is
    }
    eventually("the API is ready", async || platform.readiness().await[0] == Some(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_again_and_again() {
    let platform = Platform::start(&[]).await;
    let fault = async || {
        let mut tx = platform.database.db.begin().await.unwrap();
        let event = Event { action: "not an action".to_owned(), ..crate::support::signed_in(tx.now()) };
        tx.enqueue(&cairn_core::activity::RecordActivity { event }).unwrap();
        tx.commit().await.unwrap();
    };
    platform.fires("CairnJobsRetrying", fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_died() {
    let platform = Platform::start(&[]).await;
    let garbage = "INSERT INTO apalis.jobs (id, job_type, job, max_attempts) VALUES ('garbage', 'likes', 'garbage', 3)";
    platform.fires("CairnJobsDead", async || run(platform.database.pool(), garbage).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cannot_run_for_the_moment() {
    let platform = Platform::start(&[]).await;
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'a failure of the test' USING ERRCODE = '55P03'; END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON showcase_projects FOR EACH ROW EXECUTE FUNCTION fail()";
    let fault = async || {
        add_liked_projects(platform.database.pool(), 1).await;
        run(platform.database.owner(), fail).await;
        run(
            platform.database.pool(),
            "INSERT INTO likes_dirty (project_id, marked_at)
            SELECT id, now() - interval '1 minute' FROM showcase_projects ON CONFLICT DO NOTHING",
        )
        .await;
    };
    platform.fires("CairnJobsPostponed", fault).await;
    let attempts: i64 = scalar(
        platform.database.pool(),
        "SELECT coalesce(max(attempts), 0)::bigint FROM apalis.jobs WHERE job_type = 'likes' AND status = 'Pending'",
    )
    .await;
    assert_eq!(attempts, 0, "it costs no attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_without_workers() {
    let platform = Platform::start(&[]).await;
    platform.silent("CairnQueueWithoutWorkers").await;
    let platform = Platform::start(&[ONE_QUEUE]).await;
    let (before, rule) = (platform.scrape().await, rules::named("CairnQueueWithoutWorkers"));
    platform.until(&rule, &before, async || ()).await;
    let late = "INSERT INTO apalis.jobs (id, job_type, job, max_attempts, run_at)
        VALUES ('late', 'replies', 'x', 3, now() - interval '2 minutes')";
    platform.fires("CairnQueueLate", async || run(platform.database.pool(), late).await).await;
    let stale = "INSERT INTO likes_dirty (project_id, marked_at)
        SELECT id, now() - interval '2 minutes' FROM showcase_projects ON CONFLICT (project_id)
        DO UPDATE SET marked_at = excluded.marked_at";
    let fault = async || {
        run(platform.database.pool(), "INSERT INTO paused_queues (queue) VALUES ('likes')").await;
        add_liked_projects(platform.database.pool(), 1).await;
        run(platform.database.pool(), stale).await;
    };
    platform.fires("CairnRollupsStale", fault).await;
    let old = "UPDATE schedules SET last_enqueued_at = now() - interval '3 hours' WHERE name = 'housekeeping'";
    platform.fires("CairnHousekeepingDead", async || run(platform.database.pool(), old).await).await;
    let ahead = "UPDATE schedules SET last_enqueued_at = now() + interval '1 hour' WHERE name = 'reconcile'";
    platform.fires("CairnClockBehind", async || run(platform.database.pool(), ahead).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_paused() {
    let platform = Platform::start(&[]).await;
    let pause = "INSERT INTO paused_queues (queue) VALUES ('likes')";
    platform.fires("CairnQueuePaused", async || run(platform.database.pool(), pause).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_nearly_spent() {
    let platform = Platform::start(&[]).await;
    let budget = "INSERT INTO platform_settings (key, value)
            VALUES ('ai.budgets', '[{\"scope\":\"platform\",\"period\":\"month\",\"unit\":\"tokens\",\"amount\":1000}]')
            ON CONFLICT (key) DO UPDATE SET value = excluded.value;
        SELECT change_ai_spending(NULL, 'ideas', (now() AT TIME ZONE 'UTC')::date, 800, 0, 0, 0)";
    platform.fires("CairnBudgetNearlySpent", async || run(platform.database.pool(), budget).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_lost() {
    let platform = Platform::start(&[]).await;
    let lost = "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen)
            VALUES ('gone', 'likes', 'cairn', now() - interval '1 hour');
        INSERT INTO apalis.jobs (id, job_type, job, max_attempts, status, attempts, lock_by, lock_at)
            VALUES ('left', 'likes', 'x', 3, 'Running', 1, 'gone', now() - interval '1 hour')";
    platform.fires("CairnWorkersLost", async || run(platform.database.pool(), lost).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_are_lost() {
    let platform = Platform::start(&[]).await;
    let token = platform.token("anna").await;
    // The API listens as long as somebody follows something.
    let stream = platform.client.get(platform.url("/v1/me/events")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let rules = ["CairnListenLost", "CairnApiListenLost"].map(rules::named);
    let before = platform.scrape().await;
    eventually("both listen", async || {
        let after = platform.scrape().await;
        rules.iter().all(|rule| !rule.holds(&before, &after))
    })
    .await;
    // They would come back by themselves, so nobody may connect meanwhile.
    let name = platform.database_name().await;
    platform.elsewhere(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    platform
        .elsewhere(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND query ILIKE '%LISTEN%'
             AND query NOT ILIKE '%pg_stat_activity%'"
        ))
        .await;
    for rule in &rules {
        platform.until(rule, &before, async || ()).await;
    }
    platform.elsewhere(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    eventually("both listen again", async || {
        let after = platform.scrape().await;
        rules.iter().all(|rule| !rule.holds(&before, &after))
    })
    .await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_somebody_forgot() {
    let platform = Platform::start(&[]).await;
    let rule = platform.silent("CairnTransactionOld").await;
    let before = platform.scrape().await;
    let options = platform.database.admin().connect_options().as_ref().clone().application_name("psql");
    let mut session = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let _forgotten = session.begin().await.unwrap();
    // After a second instead of five minutes.
    eventually("it shows", async || rule.holds_beyond(1.0, &before, &platform.scrape().await)).await;
    let held_by = rules::Rule {
        expression:
            "max(cairn_database_oldest_transaction_seconds{application=\"psql\",state=\"idle in transaction\"}) > 1"
                .into(),
        ..rule
    };
    platform.until(&held_by, &before, async || ()).await;
}

/// A subscriber that takes three seconds for each row, and is then switched off. To the server it is a replica as others are.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_and_one_that_is_lost() {
    let server = throw_away_server(Durability::Relaxed, &[("wal_level", "logical")]).await.unwrap();
    let platform = Platform::start_on(TestDb::on(&server).await, &[]).await;
    let (behind, lost) = (platform.silent("CairnReplicaBehind").await, platform.silent("CairnReplicaLost").await);
    let before = platform.scrape().await;
    let table = "CREATE TABLE replicated (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY)";
    platform.superuser(format!("{table}; CREATE PUBLICATION replica FOR TABLE replicated")).await;
    platform.superuser("SELECT pg_create_logical_replication_slot('replica', 'pgoutput')".to_owned()).await;
    server.create_database_if_missing("elsewhere").await.unwrap();
    let elsewhere = lazy_pool(&server.url("elsewhere"), 2, Purpose::Maintenance).unwrap();
    let slowly =
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NEW; END $$;
        CREATE TRIGGER slowly BEFORE INSERT ON replicated FOR EACH ROW EXECUTE FUNCTION slowly();
        ALTER TABLE replicated ENABLE ALWAYS TRIGGER slowly";
    run(&elsewhere, format!("{table}; {slowly}")).await;
    let url = server.url("cairn");
    let with = "WITH (create_slot = false, slot_name = 'replica', copy_data = false)";
    run(&elsewhere, format!("CREATE SUBSCRIPTION replica CONNECTION '{url}' PUBLICATION replica {with}")).await;

    let has_all = async || {
        let count = "SELECT count(*) FROM replicated";
        scalar::<i64>(&elsewhere, count).await == scalar::<i64>(platform.database.admin(), count).await
    };
    // After a second instead of thirty.
    eventually("it shows", async || {
        // The server forgets a lag some seconds after it has ended.
        if has_all().await {
            platform.superuser("INSERT INTO replicated DEFAULT VALUES".to_owned()).await;
        }
        behind.holds_beyond(1.0, &before, &platform.scrape().await)
    })
    .await;

    run(&elsewhere, "ALTER SUBSCRIPTION replica DISABLE").await;
    platform.until(&lost, &before, async || ()).await;
    platform
        .superuser("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active".to_owned())
        .await;
    eventually("the alarm is over", async || {
        let after = platform.scrape().await;
        !lost.holds(&before, &after)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_takes_nothing() {
    let server = throw_away_server(Durability::Relaxed, &[("archive_mode", "on")]).await.unwrap();
    let platform = Platform::start_on(TestDb::on(&server).await, &[]).await;
    let rule = platform.silent("CairnArchiveFailing").await;
    let before = platform.scrape().await;
    // The server tries again after a minute, or when it has something else to archive.
    let archive = async |command: &str| {
        platform.superuser(format!("ALTER SYSTEM SET archive_command = '{command}'")).await;
        platform.superuser("SELECT pg_reload_conf(), pg_logical_emit_message(false, '', 'x')".to_owned()).await;
        platform.superuser("SELECT pg_switch_wal()".to_owned()).await;
    };
    // A command that is not found is not counted, so it shows when the archive has fallen behind.
    for command in ["false", "exit 127"] {
        platform.until(&rule, &before, async || archive(command).await).await;
        eventually("the alarm is over", async || {
            archive("true").await;
            !rule.holds(&before, &platform.scrape().await)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong() {
    let platform = Platform::start(&[]).await;
    platform.silent("CairnClockSkewed").await;
    let platform = Platform::start(&[("CAIRN_TEST_CLOCK_SECONDS", "-3600")]).await;
    let before = platform.scrape().await;
    platform.until(&rules::named("CairnClockSkewed"), &before, async || ()).await;
}

/// Idle connections take what descriptors a process may have. The rest are those that it needs itself.
#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_are_nearly_used_up() {
    let platform = Platform::start(&[]).await;
    let rule = platform.silent("CairnDescriptorsUsedUp").await;
    let (api, ops) = (free_port().unwrap(), free_port().unwrap());
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("cairn-api");
    let process = Command::new("sh")
        .args(["-c", "ulimit -n 30; exec \"$0\""])
        .arg(program)
        .env_clear()
        .env("DATABASE_URL", platform.database.url())
        .env("CAIRN_DATABASE_CONNECTIONS", "4")
        .env("CAIRN_API_CONNECTIONS_PER_ADDRESS", "15")
        .env("CAIRN_JWT_SECRET", "another key of tests, which guards nothing")
        .env("CAIRN_API_ADDR", format!("127.0.0.1:{api}"))
        .env("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ended = EndedWhenDropped(process);
    let scrape = async || {
        let answer = platform.client.get(format!("http://127.0.0.1:{ops}/metrics")).send().await.ok()?;
        let mut scrape = rules::Scrape::default();
        scrape.add("api", &answer.text().await.ok()?);
        Some(scrape)
    };
    let mut idle = Vec::new();
    eventually("the alarm holds", async || {
        idle.extend(TcpStream::connect(("127.0.0.1", api)));
        let after = scrape().await;
        after.is_some_and(|after| rule.holds(&after, &after))
    })
    .await;
}

struct EndedWhenDropped(Child);

impl Drop for EndedWhenDropped {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

/// An API whose direct URL leads nowhere serves all requests: it only tells readers late.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_does_not_depend_on_what_requests_do_not_need() {
    let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
    let platform = Platform::start(&[]).await;
    let id = add_person(platform.database.pool(), "anna", cairn_core::actor::Role::Student).await;
    assert!(!id.is_nil());
    let (api, ops) = (free_port().unwrap(), free_port().unwrap());
    let logs = tempfile::tempdir().unwrap();
    let program = cairn_testing::processes::Program::new(
        "cairn-api",
        vec![
            ("DATABASE_URL", platform.database.url().to_owned()),
            ("DATABASE_DIRECT_URL", "postgres://nobody@127.0.0.1:1/nothing".to_owned()),
            ("CAIRN_JWT_SECRET", "another key of tests, which guards nothing".to_owned()),
            ("CAIRN_API_ADDR", format!("127.0.0.1:{api}")),
            ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops}")),
        ],
        logs.path().join("api.log"),
    );
    let _process = program.start(None).unwrap();
    eventually("it is ready", async || {
        let answer = platform.client.get(format!("http://127.0.0.1:{ops}/health/ready")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}
