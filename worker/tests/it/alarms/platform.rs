//! An API and a worker as processes of their own, whose metrics are scraped.

use std::time::Duration;

use cairn_core::actor::Role;
use cairn_core::clock::{Clock, new_id};
use cairn_core::config::Secret;
use cairn_core::users::tokens::{TokenSubject, Tokens};
use cairn_testing::database::{TestDb, end_sessions, run, scalar};
use cairn_testing::eventually;
use cairn_testing::processes::{Process, Program, free_port};
use cairn_testing::rows::add_person;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::rules::{Rule, Scrape, named};

const KEY: &str = "a key of tests, which guards nothing";

pub(crate) struct Platform {
    pub(crate) database: TestDb,
    pub(crate) client: reqwest::Client,
    pub(crate) api: u16,
    ports: Vec<(&'static str, u16)>,
    /// They end with the platform.
    _processes: Vec<Process>,
    logs: tempfile::TempDir,
}

impl Platform {
    /// Starts both programs, with these variables in their environment as well.
    pub(crate) async fn start(variables: &[(&'static str, &str)]) -> Self {
        Self::start_on(TestDb::new().await, variables).await
    }

    /// The same on a database that is there.
    pub(crate) async fn start_on(database: TestDb, variables: &[(&'static str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have done it
        let logs = tempfile::tempdir().unwrap();
        let (api, ops_api, ops_worker) = (free_port().unwrap(), free_port().unwrap(), free_port().unwrap());
        let mut processes = Vec::new();
        for (name, ops) in [("cairn-api", ops_api), ("cairn-worker", ops_worker)] {
            let mut environment = vec![
                ("DATABASE_URL", database.url().to_owned()),
                ("CAIRN_DATABASE_CONNECTIONS", "4".to_owned()),
                ("CAIRN_JWT_SECRET", KEY.to_owned()),
                ("CAIRN_API_ADDR", format!("127.0.0.1:{api}")),
                ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops}")),
            ];
            environment.extend(variables.iter().map(|(key, value)| (*key, (*value).to_owned())));
            let program = Program::new(name, environment, logs.path().join(format!("{name}.log")));
            processes.push(program.start(None).unwrap());
        }
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let ports = vec![("api", ops_api), ("worker", ops_worker)];
        let platform = Self { database, client, api, ports, _processes: processes, logs };
        for (_, port) in &platform.ports {
            let started = std::time::Instant::now();
            while platform.probe(*port).await != Some(200) {
                assert!(started.elapsed() < Duration::from_secs(50), "a process is not ready: {}", platform.logs());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        platform
    }

    /// The status of the readiness of a process; `None` if it does not answer.
    async fn probe(&self, port: u16) -> Option<u16> {
        let url = format!("http://127.0.0.1:{port}/health/ready");
        Some(self.client.get(url).send().await.ok()?.status().as_u16())
    }

    /// Whether both processes say that they are ready.
    pub(crate) async fn readiness(&self) -> [Option<u16>; 2] {
        [self.probe(self.ports[0].1).await, self.probe(self.ports[1].1).await]
    }

    /// The metrics of both processes. What the database is asked for is at most two seconds old.
    pub(crate) async fn scrape(&self) -> Scrape {
        let mut scrape = Scrape::default();
        for (instance, port) in &self.ports {
            let url = format!("http://127.0.0.1:{port}/metrics");
            let answer = self.client.get(url).send().await.unwrap();
            scrape.add(instance, &answer.text().await.unwrap());
        }
        for (name, value) in scrape.samples() {
            assert!(value >= 0.0, "{name} is {value}");
        }
        scrape
    }

    /// Checks that the alarm is silent, causes the fault, and waits until the alarm's condition holds.
    pub(crate) async fn fires(&self, alarm: &str, fault: impl AsyncFnOnce()) {
        let rule = self.silent(alarm).await;
        let before = self.scrape().await;
        fault().await;
        self.until(&rule, &before, async || ()).await;
    }

    /// The alarm, which must be silent.
    pub(crate) async fn silent(&self, alarm: &str) -> Rule {
        let rule = named(alarm);
        let before = self.scrape().await;
        let after = self.scrape().await;
        assert!(!rule.holds(&before, &after), "{alarm} holds before anything is wrong; logs: {}", self.logs());
        rule
    }

    /// Waits until a condition holds, and does something before each look.
    pub(crate) async fn until(&self, rule: &Rule, before: &Scrape, step: impl AsyncFn()) {
        let name = &rule.name;
        eventually(&format!("{name} holds"), async || {
            step().await;
            rule.holds(before, &self.scrape().await)
        })
        .await;
    }

    fn logs(&self) -> String {
        let logs = ["cairn-api", "cairn-worker"].map(|name| self.logs.path().join(format!("{name}.log")));
        logs.map(|log| std::fs::read_to_string(log).unwrap_or_default()).join("\n")
    }

    /// A signed-in user's access token.
    pub(crate) async fn token(&self, name: &str) -> String {
        let (user_id, session_id) = (add_person(self.database.pool(), name, Role::Student).await, new_id());
        let insert = format!(
            "INSERT INTO sessions (id, user_id, expires_at) VALUES ('{session_id}', '{user_id}', now() + interval '1 day')"
        );
        run(self.database.pool(), insert).await;
        let tokens = Tokens::new(&Secret::new(KEY));
        tokens.issue(TokenSubject { user_id, session_id }, Clock::default().now()).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.api)
    }

    /// Does something as a superuser of the server.
    pub(crate) async fn superuser(&self, statement: String) {
        run(self.database.admin(), statement).await;
    }

    /// Does something as a superuser from another database, to which one can connect whatever happens to this one.
    pub(crate) async fn elsewhere(&self, statement: String) {
        let options = self.database.admin().connect_options().as_ref().clone().database("postgres");
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    /// A connection of a superuser to this database.
    pub(crate) async fn superuser_session(&self) -> PgConnection {
        PgConnection::connect_with(&self.database.admin().connect_options()).await.unwrap()
    }

    pub(crate) async fn database_name(&self) -> String {
        scalar(self.database.pool(), "SELECT current_database()::text").await
    }

    /// Ends the sessions of the programs, as a failover does.
    pub(crate) async fn end_sessions(&self) {
        end_sessions(&mut self.superuser_session().await).await;
    }
}
