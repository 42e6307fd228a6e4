//! A database that is replicated logically to another server, as an upgrade of Postgres without a pause does (docs/RUNBOOK.md).

use std::process::{Command, Stdio};

use cairn_core::db::{APPLICATION, OWNER, Purpose, Role, connect_options, create_roles, lazy_pool};
use cairn_postgres::testing::throw_away_server;
use cairn_postgres::{Durability, Server, role_url};
use cairn_testing::database::{rows, run, scalar, set_up_on, until};
use sqlx::PgPool;

use crate::dev::Dev;
use crate::support::{Run, Sandbox, finish, finish_with_input};

const PASSWORD: &str = "the-password-of-an-admin";

/// The tables that are replicated.
const TABLES: &str = "SELECT oid::regclass::text FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relpersistence = 'p'
      AND relnamespace IN ('public'::regnamespace, 'apalis'::regnamespace) ORDER BY 1";

/// Sequences are not replicated: each goes on behind the highest number that its column has.
const SEQUENCES: &str =
    "SELECT setval(pg_get_serial_sequence('stats_marks', 'id'), coalesce(max(id), 0) + 1, false) FROM stats_marks;
     SELECT setval(pg_get_serial_sequence('library_uses', 'id'), coalesce(max(id), 0) + 1, false) FROM library_uses";

/// The tables, with the number of their rows and a digest of them.
async fn digests(pool: &PgPool) -> Vec<(String, String)> {
    let mut digests = Vec::new();
    for table in rows::<(String,)>(pool, TABLES).await.into_iter().map(|(table,)| table) {
        let rows = format!(
            r"SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\n' ORDER BY t::text)), '') FROM {table} t"
        );
        let digest = scalar(pool, rows).await;
        digests.push((table, digest));
    }
    digests
}

/// A server with a database of Cairn, and the pool of its superuser.
struct Site {
    server: Server,
    superuser: PgPool,
}

impl Site {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let server = throw_away_server(Durability::Relaxed, settings).await.unwrap();
        server.create_database_if_missing("cairn").await.unwrap();
        let superuser = lazy_pool(&server.url("cairn"), 4, Purpose::Maintenance).unwrap();
        Self { server, superuser }
    }

    fn url(&self, role: &str) -> String {
        role_url(&self.server.url("cairn"), role)
    }

    fn cairn(&self, sandbox: &Sandbox, args: &[&str]) -> Run {
        let mut command = sandbox.command(args);
        command.env("DATABASE_URL", self.url(APPLICATION));
        finish(command)
    }

    fn start_platform(&self, sandbox: &Sandbox) -> Dev {
        let urls = [("DATABASE_URL", self.url(APPLICATION)), ("DATABASE_OWNER_URL", self.url(OWNER))];
        Dev::start_with(sandbox, &urls.each_ref().map(|(key, url)| (*key, url.as_str())))
    }

    /// Everybody does what they do, and at the end nothing is left to be done.
    fn simulate(&self, sandbox: &Sandbox, dev: &Dev, invite: &str, seed: &str) {
        let mut command = sandbox.command(&["simulate", "--url", &dev.url, "--invite", invite, "--seed", seed]);
        command.args(["--learners", "4", "--actions-per-learner", "25", "--think-ms", "0"]);
        command.args(["--admin-email", "admin@example.test", "--admin-password", PASSWORD]);
        command.env("DATABASE_URL", self.url(APPLICATION));
        let run = finish(command);
        let log = std::fs::read_to_string(sandbox.path().join("dev.log")).unwrap_or_default();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
        assert!(run.code == 0 && run.out.contains("verify: no differences"), "seed {seed}: {run:?}\n{errors:#?}");
    }

    /// The schema without rows, from another server.
    fn take_schema_of(&self, other: &Self) {
        let programs = other.server.programs().unwrap();
        let mut dump = Command::new(programs.join("pg_dump"));
        dump.args(["--schema-only", "--no-publications", &other.server.url("cairn")]).stdout(Stdio::piped());
        let mut dump = dump.spawn().unwrap();
        let mut psql = Command::new(programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", &self.server.url("cairn")]);
        let restored = psql.stdin(dump.stdout.take().unwrap()).stdout(Stdio::null()).output().unwrap();
        assert!(dump.wait().unwrap().success());
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes more than a minute"]
async fn a_database_that_was_replicated_to_another_server_is_the_same_and_goes_on_there() {
    let sandbox = Sandbox::new();
    let (old, new) = tokio::join!(Site::start(&[("wal_level", "logical")]), Site::start(&[]));
    set_up_on(&old.server, "cairn").await.unwrap();
    let dev = old.start_platform(&sandbox);
    let admin = ["admin", "create", "--email", "admin@example.test", "--first-name", "A"];
    let mut command = sandbox.command(&admin);
    command.env("DATABASE_URL", old.url(APPLICATION));
    finish_with_input(command, PASSWORD).ok();
    let invite = old.cairn(&sandbox, &["invite", "create", "--uses", "100"]).ok().lines().last().unwrap().to_owned();
    old.simulate(&sandbox, &dev, &invite, "1");

    let [owner, application] = [OWNER, APPLICATION].map(|role| Role::from_url(&new.url(role)).unwrap());
    create_roles(&connect_options(&new.server.url("cairn")).unwrap(), &owner, &application).await.unwrap();
    new.take_schema_of(&old);
    run(&old.superuser, "CREATE PUBLICATION cairn FOR ALL TABLES WITH (publish_via_partition_root = true)").await;
    let subscribe = format!("CREATE SUBSCRIPTION cairn CONNECTION '{}' PUBLICATION cairn", old.server.url("cairn"));
    run(&new.superuser, subscribe).await;
    let all_copied = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel";
    until(&new.superuser, "all tables are copied", all_copied).await;

    // While changes are replicated, everything can be changed: content, too, and what only has an index.
    old.simulate(&sandbox, &dev, &invite, "2");
    run(&old.superuser, "UPDATE lessons SET title = left('Again, ' || title, 100)").await;
    until(&old.superuser, "the course is counted", "SELECT NOT EXISTS (SELECT FROM search_changes)").await;
    assert_eq!(dev.stop(), 0);

    // What was committed a moment ago is perhaps not written yet, because this server does not wait for that.
    let end: String = scalar(&old.superuser, "SELECT pg_current_wal_insert_lsn()::text").await;
    let arrived =
        format!("SELECT bool_and(confirmed_flush_lsn >= '{end}') FROM pg_replication_slots WHERE slot_name = 'cairn'");
    until(&old.superuser, "everything has arrived", arrived).await;
    let (there, here) = (digests(&old.superuser).await, digests(&new.superuser).await);
    assert!(there.len() > 60, "{}", there.len());
    let different: Vec<&str> = there.iter().zip(&here).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    assert!(
        different.is_empty() && there.len() == here.len(),
        "triggers ran twice, or rows are missing: {different:?}"
    );

    let runbook = include_str!("../../../docs/RUNBOOK.md");
    let sequences: Vec<(String, String)> = rows(
        &old.superuser,
        "SELECT c.relname::text, a.attname::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
         JOIN pg_class c ON c.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid",
    )
    .await;
    for (table, column) in sequences {
        let is_set = format!("pg_get_serial_sequence('{table}', '{column}')");
        assert!(SEQUENCES.contains(&is_set) && runbook.contains(&is_set), "{is_set}");
    }
    run(&new.superuser, "DROP SUBSCRIPTION cairn").await;
    run(&new.superuser, SEQUENCES).await;
    run(&new.superuser, "ANALYZE").await;
    assert_eq!(new.cairn(&sandbox, &["verify", "--while-running"]).ok(), "verify: no differences\n");
    // The programs begin there as after a restart.
    let dev = new.start_platform(&sandbox);
    new.simulate(&sandbox, &dev, &invite, "3");
    assert_eq!(dev.stop(), 0);
}
