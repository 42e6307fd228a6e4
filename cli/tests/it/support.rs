//! Runs the command in a temporary directory and with a minimal environment.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use cairn_core::db::{APPLICATION, OWNER, Role, connect_options, create_roles};
use cairn_postgres::testing::{TestDatabase, test_database, test_database_in};
use sqlx::PgPool;
use tempfile::TempDir;

/// The exit code of an import that is done and has left out rows.
pub(crate) const LEFT_OUT: i32 = 3;

/// A directory to run the command in, with or without a database.
pub(crate) struct Sandbox {
    pub(crate) dir: TempDir,
    database: Option<TestDatabase>,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Sandbox {
    /// Creates a sandbox without a database.
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), database: None }
    }

    /// Creates a sandbox with an empty database, in which the roles are prepared.
    pub(crate) async fn with_empty_database() -> Self {
        let database = test_database("cairn_cli_empty", async |_: &str| Ok::<(), sqlx::Error>(())).await.unwrap();
        Self::with_roles(database).await
    }

    /// Creates a sandbox with an empty database whose upper and lower case are those of a locale.
    pub(crate) async fn with_empty_database_in(locale: &str) -> Self {
        Self::with_roles(test_database_in(locale).await.unwrap()).await
    }

    async fn with_roles(database: TestDatabase) -> Self {
        let [owner, application] = [OWNER, APPLICATION].map(|role| Role::from_url(&database.url_for(role)).unwrap());
        create_roles(&connect_options(database.admin_url()).unwrap(), &owner, &application).await.unwrap();
        Self { database: Some(database.used_by(APPLICATION)), ..Self::new() }
    }

    /// Creates a sandbox with a migrated database.
    pub(crate) async fn with_database() -> Self {
        let sandbox = Self::with_empty_database().await;
        sandbox.run(&["migrate"]).ok();
        sandbox
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A pool of the owner of the schema.
    pub(crate) async fn pool(&self) -> PgPool {
        PgPool::connect(&self.database().url_for(OWNER)).await.unwrap()
    }

    /// The database, where there is one.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// The command with these arguments, ready to start.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null());
        for key in ["PATH", "HOME"] {
            command.envs(std::env::vars_os().filter(|(name, _)| name == key));
        }
        if let Some(database) = &self.database {
            command.env("DATABASE_URL", database.url()).env("DATABASE_OWNER_URL", database.url_for(OWNER));
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args))
    }

    /// Runs the command with this standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Run {
        finish_with_input(self.command(args), input)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }
}

pub(crate) fn finish(mut command: Command) -> Run {
    Run::of(&command.output().unwrap())
}

pub(crate) fn finish_with_input(mut command: Command, input: &str) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Run::of(&child.wait_with_output().unwrap())
}

impl Run {
    fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let run = Self { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!run.err.contains("panicked"), "{run:?}");
        run
    }

    /// Asserts that the run succeeded. Returns its standard output.
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        &self.out
    }

    /// Asserts that an import has left out that many rows and nothing else was wrong. Returns its standard output.
    pub(crate) fn leaves_out(&self, rows: u32) -> &str {
        self.fails(LEFT_OUT, &[&format!("{rows} rows w")]);
        &self.out
    }

    /// Asserts that the run failed with this code, and that its last line on standard error contains all of these texts.
    pub(crate) fn fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let last = self.err.lines().last().unwrap_or_default();
        assert!(last.starts_with("cairn: "), "{self:?}");
        for text in says {
            assert!(last.contains(text), "{text:?} not in {self:?}");
        }
    }
}
