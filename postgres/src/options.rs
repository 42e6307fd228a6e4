//! What a server is started with.

use std::path::PathBuf;

/// How much a commit is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As Postgres is by default: what is committed survives every crash.
    Full,
    /// For throw-away data: nothing waits for the disk, and a crash may cost the last commits.
    Relaxed,
}

/// What [`Server::start`](crate::Server::start) needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data root, such as `.cairn/postgres`; made if missing. Fetched binaries go to `postgres-bin` beside it.
    pub data_dir: PathBuf,
    /// How much a commit is worth.
    pub durability: Durability,
    /// Further server settings, name and value; they win over those of this crate.
    pub settings: Vec<(String, String)>,
    /// Where a live process already runs the server of this data root: use that server (which then neither
    /// [`Server::stop`](crate::Server::stop) nor dropping stops) instead of failing with [`Error::AlreadyRunning`](crate::Error::AlreadyRunning).
    pub reuse: bool,
    /// Removes the whole data root once the server is down, also when this process is killed.
    pub remove_when_stopped: bool,
}

impl Options {
    /// Options for the data root `data_dir`, with no further settings, no reuse and no removal.
    pub fn new(data_dir: impl Into<PathBuf>, durability: Durability) -> Self {
        Self { data_dir: data_dir.into(), durability, settings: Vec::new(), reuse: false, remove_when_stopped: false }
    }

    /// Adds server settings.
    #[must_use]
    pub fn settings(mut self, settings: &[(&str, &str)]) -> Self {
        self.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The settings of this crate for this durability, then those of the caller.
    pub(crate) fn all_settings(&self) -> Vec<(String, String)> {
        let base: &[(&str, &str)] = &[
            ("listen_addresses", "127.0.0.1"),
            // TCP only: a socket file can be left over, and its path can be too long.
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("shared_buffers", "128MB"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_destination", "stderr"),
            ("logging_collector", "off"),
        ];
        let relaxed: &[(&str, &str)] = match self.durability {
            Durability::Full => &[],
            Durability::Relaxed => &[("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off")],
        };
        let own = base.iter().chain(relaxed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        own.chain(self.settings.iter().cloned()).collect()
    }
}
