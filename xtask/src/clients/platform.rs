//! A Cairn of its own for the programs: database, API, worker and a stub AI provider, on loopback ports that are free.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::steps::{Failure, read, target};

use super::bounded::wait;
use super::folder::folder;

/// A database is created, and a course imported.
const START: Duration = Duration::from_mins(2);
const STOP: Duration = Duration::from_secs(30);

/// The platform. Dropping it stops everything and removes its data.
pub(super) struct Platform {
    /// Where the API is.
    pub(super) url: String,
    cairn: Server,
    provider: Server,
}

impl Platform {
    pub(super) fn start() -> Result<Self, Failure> {
        let _ = fs::remove_dir_all(folder("cairn"));
        let (provider, provider_url) =
            Server::start("cairn-stub-provider", &["127.0.0.1:0"], &[], "CAIRN_AI_BASE_URL=")?;
        let data = folder("cairn");
        let environment = [
            ("CAIRN_API_ADDR", "127.0.0.1:0"),
            ("CAIRN_OPS_ADDR", "127.0.0.1:0"),
            ("CAIRN_AI_BASE_URL", &provider_url),
            ("CAIRN_AI_MODEL", "stub"),
        ];
        let arguments = ["--data-dir", &data.display().to_string(), "dev"];
        let (cairn, url) = Server::start("cairn", &arguments, &environment, "API         ")?;
        let url = url.trim_end_matches("/v1").to_owned();
        Ok(Self { url, cairn, provider })
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.cairn.stop();
        self.provider.stop();
        let _ = fs::remove_dir_all(folder("cairn"));
    }
}

struct Server(Child);

impl Server {
    /// Starts a program and waits for what it prints behind `mark`. It runs in target/clients, where no `.env` lies.
    fn start(
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        mark: &str,
    ) -> Result<(Self, String), Failure> {
        let log = folder(&format!("{name}.log"));
        let failed = |error: std::io::Error| Failure::new(format!("{name}: {error}"));
        let file = File::create(&log).map_err(failed)?;
        let mut command = Command::new(target("debug").join(name));
        for (key, _) in std::env::vars_os() {
            let is_setting = |prefix| key.to_str().is_some_and(|key| key.starts_with(prefix));
            if is_setting("CAIRN_") || is_setting("DATABASE_") || is_setting("OTEL_") {
                command.env_remove(key);
            }
        }
        command.args(arguments).envs(environment.iter().copied()).current_dir(folder("")).stdin(Stdio::null());
        let child = command.stdout(file.try_clone().map_err(failed)?).stderr(file).spawn().map_err(failed)?;
        let mut server = Self(child);
        let deadline = Instant::now() + START;
        loop {
            let is_running = server.0.try_wait().map_err(failed)?.is_none();
            let output = read(&log)?;
            if let Some((value, _)) = output.split_once(mark).and_then(|(_, rest)| rest.split_once('\n')) {
                return Ok((server, value.trim().to_owned()));
            }
            if !is_running || Instant::now() > deadline {
                return Err(Failure::new(format!("{name} does not start:\n\n{output}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// As Ctrl-C does: `cairn` stops its database. Where it cannot be asked it is killed, and its database notices.
    fn stop(&mut self) {
        let _ = Command::new("kill").args(["-s", "INT", &self.0.id().to_string()]).status();
        wait(&mut self.0, STOP);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}
