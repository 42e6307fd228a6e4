//! Databases for integration tests: one server for each test process, one database for each test.
//!
//! ```no_run
//! # async fn migrate(url: &str) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cairn_postgres::testing::test_database;
//!
//! // The closure runs once for each server and key, so change the key whenever the result of the closure changes.
//! let database = test_database("migrations-0007", async |url: &str| migrate(url).await).await?;
//! // Connect to `database.url()`. Dropping `database` drops the database, even if there are open connections.
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here is bound to a tokio runtime, because each test has its own. To share a server between several test processes,
//! start one with [`throw_away_server`] and pass its URL to them in [`URL_VARIABLE`].

use std::fmt;
use std::fs::{DirEntry, File};
use std::path::Path;

use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::account::Account;
use crate::database::{self, NO_SUCH_DATABASE, has_code, quoted, role_url, with_database};
use crate::error::sql;
use crate::layout::{Layout, private_dir, short_hash};
use crate::postmaster::is_alive;
use crate::startup::end_orphan;
use crate::{Durability, Error, Options, Result, Server};

/// The environment variable with the URL of a server to use instead of starting one. The database in the URL is ignored.
pub const URL_VARIABLE: &str = "CAIRN_TEST_POSTGRES_URL";

/// The prefix of the name of each test's database, which is followed by the process id and a random number.
const DATABASE_PREFIX: &str = "cairn_test_";

/// The settings of a server for the tests of a process: each test has pools of its own, and several tests run on each core.
pub const SETTINGS: [(&str, &str); 1] = [("max_connections", "1000")];

/// The server of this process. It is never dropped. When the process ends, the watcher ends the server.
static SHARED: OnceCell<Shared> = OnceCell::const_new();

struct Shared {
    /// The URL of the database `postgres`.
    url: String,
    _server: Option<Server>,
}

/// The database of one test. Dropping it drops the database in the background, even if there are connections to it.
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
    /// The URL of the database `postgres`.
    server_url: String,
}

impl TestDatabase {
    /// The URL of the database: the superuser's, unless it was given to a role.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The superuser's URL of the database.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The URL of the database for a role, which `prepare` must have created.
    pub fn url_for(&self, role: &str) -> String {
        role_url(&self.admin_url, role)
    }

    /// The same database, whose URL from now on is that of a role.
    #[must_use]
    pub fn used_by(mut self, role: &str) -> Self {
        self.url = self.url_for(role);
        self
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Omits the password.
impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server_url, name) = (std::mem::take(&mut self.server_url), std::mem::take(&mut self.name));
        // This runs in a thread with its own runtime and is not waited for, because it may be called within the test's
        // runtime. A connection that the test is opening must be able to proceed, or DROP DATABASE waits for it for a minute.
        // If the process ends first, the database is removed with the throw-away server, or by the next sweep.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let result = runtime.map(|runtime| runtime.block_on(drop_database(&server_url, &name)));
            if !matches!(result, Ok(Ok(()))) {
                tracing::debug!("cannot drop the test database {name}: {result:?}");
            }
        });
    }
}

/// Creates a database for one test as a copy of a template. Only a superuser can make temporary tables in it.
///
/// `template` identifies the contents of the template, for example by a hash of the migrations. The first test that requests a
/// template on a server has it created by `prepare`, which gets the URL of an empty database and must close its connections
/// to it. Other tests and processes wait in the meantime. A preparation that fails or is killed leaves no template behind.
///
/// # Errors
/// [`Error::Prepare`] with the error of `prepare`, [`Error::Sql`], and on first use all errors of [`Server::start`].
pub async fn test_database<E>(template: &str, prepare: impl AsyncFnOnce(&str) -> Result<(), E>) -> Result<TestDatabase>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let shared = SHARED.get_or_try_init(shared_server).await?;
    let template = format!("cairn_template_{}", short_hash(template.as_bytes()));
    let name = new_name();
    let create = format!("CREATE DATABASE {} TEMPLATE {}", quoted(&name), quoted(&template));
    let mut admin = database::connect(&shared.url).await?;
    let mut created = database::run(&mut admin, create.clone()).await;
    if created.as_ref().is_err_and(|error| has_code(error, NO_SUCH_DATABASE)) {
        make_template(&mut admin, &shared.url, &template, prepare).await?;
        created = database::run(&mut admin, create).await;
    }
    created.map_err(sql("create a test database"))?;
    finish(admin, shared, name).await
}

fn new_name() -> String {
    format!("{DATABASE_PREFIX}{}_{:016x}", std::process::id(), rand::random::<u64>())
}

/// Gives a new database the rights that those of tests have.
async fn finish(mut admin: PgConnection, shared: &Shared, name: String) -> Result<TestDatabase> {
    // A copy has the rights inside the template, but not those on the template itself.
    let revoke = format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC", quoted(&name));
    database::run(&mut admin, revoke).await.map_err(sql("create a test database"))?;
    let url = with_database(&shared.url, &name);
    let database = TestDatabase { admin_url: url.clone(), url, name, server_url: shared.url.clone() };
    admin.close().await.map_err(sql("close a connection"))?;
    Ok(database)
}

/// Creates an empty database for one test, whose upper and lower case are those of a locale (`LC_CTYPE`).
///
/// # Errors
/// [`Error::Sql`], and on first use all errors of [`Server::start`].
pub async fn test_database_in(locale: &str) -> Result<TestDatabase> {
    let shared = SHARED.get_or_try_init(shared_server).await?;
    let name = new_name();
    let create = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE '{}'",
        quoted(&name),
        locale.replace('\'', "''")
    );
    let mut admin = database::connect(&shared.url).await?;
    database::run(&mut admin, create).await.map_err(sql("create a test database"))?;
    finish(admin, shared, name).await
}

/// Starts a server with these additional settings in a throw-away directory, which is removed when the server is down. First
/// removes the directories that killed processes left behind.
///
/// # Errors
/// The errors of [`Server::start`].
pub async fn throw_away_server(durability: Durability, settings: &[(&str, &str)]) -> Result<Server> {
    let account = Account::current()?;
    let temporary = std::env::temp_dir();
    let reachable = if account.can_enter(&temporary) { &temporary } else { Path::new("/var/tmp") };
    let base = reachable.join(format!("cairn-test-{}", rustix::process::geteuid().as_raw()));
    private_dir(&base, account.switch)?;
    sweep_directories(&base).await;
    let dir = base.join(format!("{}-{:016x}", std::process::id(), rand::random::<u64>()));
    let mut options = Options::new(dir, durability).settings(settings);
    options.remove_when_stopped = true;
    Server::start(options).await
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
async fn shared_server() -> Result<Shared> {
    if let Some(url) = std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty()) {
        let url = with_database(&url, "postgres");
        sweep_databases(&url).await?;
        return Ok(Shared { url, _server: None });
    }
    let server = throw_away_server(Durability::Relaxed, &SETTINGS).await?;
    Ok(Shared { url: server.url("postgres"), _server: Some(server) })
}

/// Creates the template unless another session has just created it. It is renamed last, so a template with its final name is
/// complete.
async fn make_template<E>(
    admin: &mut PgConnection,
    url: &str,
    template: &str,
    prepare: impl AsyncFnOnce(&str) -> Result<(), E>,
) -> Result<()>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let failed = || sql("make a template database");
    // One session at a time. The lock is released with the session at the latest, so also if this fails.
    let lock = sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(template);
    lock.execute(&mut *admin).await.map_err(failed())?;
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(template);
    if !exists.fetch_one(&mut *admin).await.map_err(failed())? {
        let draft = format!("{template}_draft");
        let name = quoted(&draft);
        database::run(admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.map_err(failed())?;
        database::run(admin, format!("CREATE DATABASE {name}")).await.map_err(failed())?;
        prepare(&with_database(url, &draft)).await.map_err(|error| Error::Prepare(error.into()))?;
        // An open connection would make renaming and every copy fail.
        database::run(admin, format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.map_err(failed())?;
        let end = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1").bind(draft);
        end.execute(&mut *admin).await.map_err(failed())?;
        let rename = format!("ALTER DATABASE {name} RENAME TO {}", quoted(template));
        database::run(admin, rename).await.map_err(failed())?;
    }
    let unlock = sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))").bind(template);
    unlock.execute(admin).await.map(drop).map_err(failed())
}

async fn drop_database(server_url: &str, name: &str) -> Result<()> {
    let mut admin = database::connect(server_url).await?;
    let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    database::run(&mut admin, statement).await.map_err(sql("drop a test database"))?;
    admin.close().await.map_err(sql("close a connection"))
}

/// Drops the databases of test processes that no longer exist.
async fn sweep_databases(url: &str) -> Result<()> {
    let mut admin = database::connect(url).await?;
    let names = sqlx::query_scalar::<_, String>("SELECT datname FROM pg_database WHERE starts_with(datname, $1)");
    let names = names.bind(DATABASE_PREFIX).fetch_all(&mut admin).await.map_err(sql("list databases"))?;
    let left_over = |name: &&String| leading_pid(&name[DATABASE_PREFIX.len()..]).is_some_and(|pid| !is_alive(pid));
    for name in names.iter().filter(left_over) {
        // Not forced: a database that is in use belongs to a process that is invisible here, such as in another container.
        if let Err(error) = database::run(&mut admin, format!("DROP DATABASE IF EXISTS {}", quoted(name))).await {
            tracing::debug!("cannot drop the test database {name}: {error}");
        }
    }
    admin.close().await.map_err(sql("close a connection"))
}

/// Removes the throw-away directories of processes that no longer exist, and ends the servers that still run in them.
async fn sweep_directories(base: &Path) {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    for root in entries.filter(is_left_over).map(|entry| entry.path()) {
        let layout = Layout { root: root.clone() };
        if let Err(error) = end_orphan(&layout).await {
            tracing::debug!("cannot end the server in {}: {error}", root.display());
            continue;
        }
        // Another process may be removing the same directory.
        drop(std::fs::remove_dir_all(&root));
    }
}

/// Whether the directory belongs to a process that no longer exists, and no watcher is active in it.
fn is_left_over(entry: &DirEntry) -> bool {
    let pid = leading_pid(&entry.file_name().to_string_lossy());
    let locked = || File::open(Layout { root: entry.path() }.lock()).is_ok_and(|file| file.try_lock().is_err());
    pid.is_some_and(|pid| !is_alive(pid)) && !locked()
}

/// The process id at the start of `4711_ab12` or `4711-ab12`.
fn leading_pid(name: &str) -> Option<u32> {
    name.split(['_', '-']).next()?.parse().ok()
}
