//! The services as programs: what they answer on the command line, and how they say that they cannot go on.
//!
//! Exit codes are the same for all programs of Cairn: 0 if everything was done, or a service was stopped; 1 if something
//! failed that may work the next time; 2 if the command line, the configuration or the state of the database has to be mended
//! first, so starting again without that is pointless.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::process::ExitCode;

use chrono::SecondsFormat;
use serde_json::json;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, LogFormat};
use crate::db::MigrateError;

/// A program that runs until it is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The name of the program.
    pub name: &'static str,
    /// What it does: a sentence.
    pub about: &'static str,
}

/// Why a service has ended, or did not start. The message is one line that says what to do.
#[derive(Debug)]
pub enum Failure {
    /// Something must be mended first: exit code 2.
    Setup(String),
    /// It may work the next time: exit code 1.
    Failed(String),
}

impl Service {
    /// Answers the arguments of the command line, after the name of the program. `None` if there are none, so the service is to
    /// start.
    pub fn answer(&self, mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
        let argument = arguments.next()?;
        let text = match argument.to_str() {
            Some("--version" | "-V") => format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION")),
            Some("--help" | "-h") => self.help(),
            _ => {
                let unknown = argument.to_string_lossy();
                return Some(self.fail(&Failure::Setup(format!("there is no argument {unknown:?}: see --help"))));
            }
        };
        // Whoever asked has closed it, and knows enough.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        Some(ExitCode::SUCCESS)
    }

    fn help(&self) -> String {
        let Self { name, about } = self;
        format!(
            "{about}\n\n\
             Usage: {name}\n\n\
             Everything is set in the environment, in .env.local and in .env; .env.example lists all keys. The database must\n\
             be up to date: run `cairn migrate` first. SIGTERM and SIGINT stop the program in order, a second one at once.\n\n\
             Options:\n  -h, --help     Print help\n  -V, --version  Print version\n\n\
             Exit codes:\n  0  it was stopped\n  1  it failed, and may work when it is started again\n  \
             2  the configuration or the database must be mended first\n"
        )
    }

    /// Writes why the service ends to standard error, in the format of its log, and returns the exit code.
    pub fn fail(&self, failure: &Failure) -> ExitCode {
        let (message, code) = match failure {
            Failure::Setup(message) => (message, 2),
            Failure::Failed(message) => (message, 1),
        };
        report(self.name, message, code)
    }
}

/// Writes why a program ends to standard error, in the format of its log, and returns the exit code.
pub fn report(program: &str, message: &str, code: u8) -> ExitCode {
    let line = match Config::log_format() {
        LogFormat::Text => format!("{program}: {message}"),
        LogFormat::Json => {
            let now = Clock::default().now().to_rfc3339_opts(SecondsFormat::Micros, true);
            json!({ "timestamp": now, "level": "ERROR", "message": message, "program": program }).to_string()
        }
    };
    // If standard error is closed, there is nowhere left to report it.
    let _ = writeln!(io::stderr().lock(), "{line}");
    ExitCode::from(code)
}

impl Failure {
    /// Something must be mended first.
    pub fn setup(message: impl Display) -> Self {
        Self::Setup(message.to_string())
    }

    /// It may work the next time.
    pub fn failed(message: impl Display) -> Self {
        Self::Failed(message.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Setup(message) | Self::Failed(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for Failure {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::setup(error)
    }
}

/// What is to be mended if a server, or a pooler before it, does not let anybody in as it is asked to. `None` if the failure is
/// another one.
pub fn refusal_of_connection(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let refusal = causes.find_map(|error| error.downcast_ref::<sqlx::Error>()?.as_database_error())?;
    let advice = match &*refusal.code()? {
        // PgBouncer (https://www.pgbouncer.org/config.html#ignore_startup_parameters).
        "08P01" if refusal.message().contains("startup parameter") => {
            "set ignore_startup_parameters = extra_float_digits,options in PgBouncer"
        }
        "28000" | "28P01" => {
            "correct the user and the password in the URL, or create the roles with `cairn migrate --roles`"
        }
        "3D000" => "correct the name of the database in the URL, or create it",
        _ => return None,
    };
    Some(format!("the database cannot be used ({}): {advice}", refusal.message()))
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        if let Some(refusal) = refusal_of_connection(&error) {
            return Self::Setup(refusal);
        }
        match error {
            MigrateError::Failed(_) | MigrateError::Unreachable(_) => {
                Self::Failed(format!("the database cannot be used: {error}"))
            }
            _ => Self::setup(error),
        }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        refusal_of_connection(&error).map_or_else(|| Self::failed(error), Self::Setup)
    }
}
