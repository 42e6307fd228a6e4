//! `PgBouncer` in front of the database, where it is installed: Debian's, in transaction mode. What it breaks is told with its fix.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cairn_core::db::{APPLICATION, Listener, connect_options};
use cairn_core::queue::CHANNEL;
use cairn_testing::eventually;
use cairn_testing::processes::free_port;
use sqlx::PgPool;
use tempfile::TempDir;

use crate::support::{Sandbox, finish};

/// A running `PgBouncer`.
struct Pooler {
    child: Child,
    port: u16,
    _files: TempDir,
}

/// Where it is installed: Debian keeps it in sbin, which is not in everybody's PATH.
fn installed() -> Option<PathBuf> {
    ["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer", "/usr/bin/pgbouncer"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file())
}

impl Pooler {
    /// Starts it in front of the database of a sandbox.
    async fn start(program: &Path, sandbox: &Sandbox, mode: &str) -> Self {
        let files = TempDir::new().unwrap();
        let port = free_port().unwrap();
        let url = url::Url::parse(&sandbox.database().url_for(APPLICATION)).unwrap();
        let configuration = format!(
            "[databases]\ncairn = host={} port={} dbname={} user={} password='{}'\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits,options\ndefault_pool_size = 20\n",
            url.host_str().unwrap(),
            url.port().unwrap(),
            url.path().trim_start_matches('/'),
            url.username(),
            url.password().unwrap_or_default(),
        );
        let file = files.path().join("pgbouncer.ini");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new(program);
        command.arg("-q").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
            // It refuses to run as root, and the account that it changes to has to read the file.
            std::fs::set_permissions(files.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            command.args(["-u", "nobody"]);
        }
        let child = command.spawn().unwrap();
        let pooler = Self { child, port, _files: files };
        eventually("PgBouncer answers", async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        pooler
    }

    fn url(&self) -> String {
        format!("postgres://{APPLICATION}@127.0.0.1:{}/cairn", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a program, without a database.
fn service(name: &str, sandbox: &Sandbox) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_cairn")).with_file_name(name));
    command.env_clear().current_dir(sandbox.path()).stdin(Stdio::null());
    command.env("CAIRN_JWT_SECRET", "a key of tests, which guards nothing");
    command.env("CAIRN_API_ADDR", "127.0.0.1:0").env("CAIRN_OPS_ADDR", "127.0.0.1:0");
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pooler_loses_is_told_with_its_fix() {
    let Some(program) = installed() else {
        println!("PgBouncer is not installed, so nothing was tried");
        return;
    };
    let sandbox = Sandbox::with_database().await;
    let direct = sandbox.database().url_for(APPLICATION);
    let pooler = Pooler::start(&program, &sandbox, "transaction").await;
    let in_session = Pooler::start(&program, &sandbox, "session").await;
    let doctor = |url: &str, direct: &str| {
        let mut command = sandbox.command(&["doctor"]);
        command.env("DATABASE_URL", url).env("DATABASE_DIRECT_URL", direct);
        finish(command)
    };
    let says = |text: &str, verdict: &str, what: &str| {
        text.lines().any(|line| line.starts_with(verdict) && line.split_whitespace().nth(1) == Some(what))
    };
    // Statements that were prepared on one connection to the server are executed on another one.
    let lost = doctor(&pooler.url(), &direct);
    let is_old = says(&lost.out, "FAIL", "statements");
    assert!(is_old || says(&lost.out, "ok", "statements"), "{lost:?}");
    assert_eq!(is_old, lost.out.contains("max_prepared_statements"), "{lost:?}");
    assert!(says(&lost.out, "ok", "notify") && says(&lost.out, "note", "options"), "{lost:?}");
    // Whoever listens through it hears nothing.
    let deaf = doctor(&direct, &pooler.url());
    assert!(
        deaf.code == 1 && says(&deaf.out, "FAIL", "notify") && deaf.out.contains("DATABASE_DIRECT_URL"),
        "{deaf:?}"
    );
    let both = doctor(&pooler.url(), &pooler.url());
    assert!(says(&both.out, "FAIL", "notify") && both.out.contains("DATABASE_DIRECT_URL"), "{both:?}");
    let listen = async |url: &str| Listener::open(&connect_options(url).unwrap(), CHANNEL).await;
    let unheard = listen(&pooler.url()).await.unwrap_err().to_string();
    assert!(unheard.contains("DATABASE_DIRECT_URL"), "{unheard}");
    listen(&in_session.url()).await.unwrap();
    // In session mode nothing is lost but the options.
    let all = doctor(&in_session.url(), &in_session.url());
    assert!(says(&all.out, "ok", "statements") && says(&all.out, "ok", "notify"), "{all:?}");
    // Without the options tables are looked for where the role or the database says.
    let database = sandbox.database();
    let admin = PgPool::connect(database.admin_url()).await.unwrap();
    let aside = format!(
        "CREATE SCHEMA aside; GRANT USAGE ON SCHEMA aside TO {APPLICATION};
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = aside, public', current_database()); END $$"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(aside)).execute(&admin).await.unwrap();
    let elsewhere = Pooler::start(&program, &sandbox, "session").await;
    let astray = doctor(&elsewhere.url(), &direct);
    assert!(says(&astray.out, "FAIL", "schema") && astray.out.contains("SET search_path = public"), "{astray:?}");
    let mut worker = service("cairn-worker", &sandbox);
    worker.env("DATABASE_URL", elsewhere.url()).env("DATABASE_DIRECT_URL", &direct);
    let refused = finish(worker);
    let said = format!("{}{}", refused.out, refused.err);
    assert!(refused.code == 2 && said.contains("looks for tables in the schema aside first"), "{refused:?}");
    // The programs do not start where their statements would fail, and say why.
    if is_old {
        for name in ["cairn-api", "cairn-worker"] {
            let mut command = service(name, &sandbox);
            command.env("DATABASE_URL", pooler.url()).env("DATABASE_DIRECT_URL", &direct);
            let refused = finish(command);
            let said = format!("{}{}", refused.out, refused.err);
            assert!(refused.code == 2 && said.contains("loses prepared statements"), "{name}: {refused:?}");
        }
    }
}
