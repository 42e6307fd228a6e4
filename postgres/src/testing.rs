//! Databases for integration tests: one server for each test process, one database for each test.
//!
//! ```no_run
//! # async fn migrate(url: &str) -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cairn_postgres::testing::test_database;
//!
//! // The closure runs once for each server and key: change the key whenever the closure's outcome changes.
//! let database = test_database("migrations-0007", async |url: &str| migrate(url).await).await?;
//! // Connect to `database.url()`; dropping `database` drops the database, open connections or not.
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here is bound to a tokio runtime, of which each test has its own. Where several test processes are to share
//! a server, start one with [`throw_away_server`] and pass its URL to them in [`URL_VARIABLE`].

use std::fmt;
use std::fs::{DirEntry, File};
use std::path::Path;

use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::account::Account;
use crate::database::{self, NO_SUCH_DATABASE, has_code, quoted, with_database};
use crate::error::sql;
use crate::layout::{Layout, private_dir, short_hash};
use crate::postmaster::is_alive;
use crate::startup::end_orphan;
use crate::{Durability, Error, Options, Result, Server};

/// Environment variable with the URL of a server to use instead of starting one; the URL's database does not matter.
pub const URL_VARIABLE: &str = "CAIRN_TEST_POSTGRES_URL";

/// Start of the name of each test's database; the process id and a random number follow.
const DATABASE_PREFIX: &str = "cairn_test_";

/// The server of this process. Never dropped: when the process ends, its watcher ends the server.
static SHARED: OnceCell<Shared> = OnceCell::const_new();

struct Shared {
    /// URL of the database `postgres`.
    url: String,
    _server: Option<Server>,
}

/// A database of its own for one test. Dropping it has the database dropped soon, whoever is
/// connected to it.
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
}

impl TestDatabase {
    /// URL of the database, for the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Leaves out the password.
impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin_url, name) = (std::mem::take(&mut self.admin_url), std::mem::take(&mut self.name));
        // In a thread with a runtime of its own, and not waited for: this may run inside the test's runtime, and a
        // connection that the test is just opening must be able to go on, or DROP DATABASE waits for it for a minute.
        // What the end of the process cuts short goes with the throw-away server, or with the next sweep.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let result = runtime.map(|runtime| runtime.block_on(drop_database(&admin_url, &name)));
            if !matches!(result, Ok(Ok(()))) {
                tracing::debug!("test database {name} not dropped: {result:?}");
            }
        });
    }
}

/// Makes a database for one test, as a copy of a template.
///
/// `template` names what the template holds, for instance a hash of the migrations. The first test that asks for a
/// template on a server has it made by `prepare`, which gets the URL of an empty database and must close its
/// connections to it; other tests and processes wait meanwhile. A failed or killed preparation leaves no template.
///
/// # Errors
/// [`Error::Prepare`] with what `prepare` returned, [`Error::Sql`], and on first use all of [`Server::start`].
pub async fn test_database<E>(template: &str, prepare: impl AsyncFnOnce(&str) -> Result<(), E>) -> Result<TestDatabase>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let shared = SHARED.get_or_try_init(shared_server).await?;
    let template = format!("cairn_template_{}", short_hash(template.as_bytes()));
    let name = format!("{DATABASE_PREFIX}{}_{:016x}", std::process::id(), rand::random::<u64>());
    let create = format!("CREATE DATABASE {} TEMPLATE {}", quoted(&name), quoted(&template));
    let mut admin = database::connect(&shared.url).await?;
    let mut created = database::run(&mut admin, create.clone()).await;
    if created.as_ref().is_err_and(|error| has_code(error, NO_SUCH_DATABASE)) {
        make_template(&mut admin, &shared.url, &template, prepare).await?;
        created = database::run(&mut admin, create).await;
    }
    created.map_err(sql("create a test database"))?;
    let database = TestDatabase { url: with_database(&shared.url, &name), name, admin_url: shared.url.clone() };
    admin.close().await.map_err(sql("close a connection"))?;
    Ok(database)
}

/// Starts a server with these further settings in a throw-away directory, which is removed when the server is down.
/// Directories left from killed runs are removed first.
///
/// # Errors
/// As [`Server::start`].
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
    let server = throw_away_server(Durability::Relaxed, &[]).await?;
    Ok(Shared { url: server.url("postgres"), _server: Some(server) })
}

/// Makes the template unless another session just did. It gets its name last, so a template that has it is complete.
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
    // One at a time; released at the latest with the session, so also where this fails.
    let lock = sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))").bind(template);
    lock.execute(&mut *admin).await.map_err(failed())?;
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(template);
    if !exists.fetch_one(&mut *admin).await.map_err(failed())? {
        let draft = format!("{template}_draft");
        let name = quoted(&draft);
        database::run(admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.map_err(failed())?;
        database::run(admin, format!("CREATE DATABASE {name}")).await.map_err(failed())?;
        prepare(&with_database(url, &draft)).await.map_err(|error| Error::Prepare(error.into()))?;
        // A connection left open would make renaming and every copy fail.
        database::run(admin, format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.map_err(failed())?;
        let end = sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1").bind(draft);
        end.execute(&mut *admin).await.map_err(failed())?;
        let rename = format!("ALTER DATABASE {name} RENAME TO {}", quoted(template));
        database::run(admin, rename).await.map_err(failed())?;
    }
    let unlock = sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))").bind(template);
    unlock.execute(admin).await.map(drop).map_err(failed())
}

async fn drop_database(admin_url: &str, name: &str) -> Result<()> {
    let mut admin = database::connect(admin_url).await?;
    let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
    database::run(&mut admin, statement).await.map_err(sql("drop a test database"))?;
    admin.close().await.map_err(sql("close a connection"))
}

/// Drops the databases of test processes that are gone.
async fn sweep_databases(url: &str) -> Result<()> {
    let mut admin = database::connect(url).await?;
    let names = sqlx::query_scalar::<_, String>("SELECT datname FROM pg_database WHERE starts_with(datname, $1)");
    let names = names.bind(DATABASE_PREFIX).fetch_all(&mut admin).await.map_err(sql("list databases"))?;
    let left_over = |name: &&String| leading_pid(&name[DATABASE_PREFIX.len()..]).is_some_and(|pid| !is_alive(pid));
    for name in names.iter().filter(left_over) {
        // Not forced: one that is in use belongs to a process this one cannot see, such as in another container.
        if let Err(error) = database::run(&mut admin, format!("DROP DATABASE IF EXISTS {}", quoted(name))).await {
            tracing::debug!("test database {name} not dropped: {error}");
        }
    }
    admin.close().await.map_err(sql("close a connection"))
}

/// Removes the throw-away directories of processes that are gone, and ends what still runs in them.
async fn sweep_directories(base: &Path) {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    for root in entries.filter(is_left_over).map(|entry| entry.path()) {
        let layout = Layout { root: root.clone() };
        if let Err(error) = end_orphan(&layout).await {
            tracing::debug!("server in {} not ended: {error}", root.display());
            continue;
        }
        // Another process may be sweeping the same directory.
        drop(std::fs::remove_dir_all(&root));
    }
}

/// Whether the directory is one of a process that is gone, and no watcher is at work in it.
fn is_left_over(entry: &DirEntry) -> bool {
    let pid = leading_pid(&entry.file_name().to_string_lossy());
    let locked = || File::open(Layout { root: entry.path() }.lock()).is_ok_and(|file| file.try_lock().is_err());
    pid.is_some_and(|pid| !is_alive(pid)) && !locked()
}

/// The process id at the start of `4711_ab12` or `4711-ab12`.
fn leading_pid(name: &str) -> Option<u32> {
    name.split(['_', '-']).next()?.parse().ok()
}
