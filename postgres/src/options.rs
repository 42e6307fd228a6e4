//! The options of a server.

use std::path::PathBuf;

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The default of Postgres: committed data survives every crash.
    Full,
    /// For throw-away data: nothing waits for the disk, and a crash may lose the last commits.
    Relaxed,
}

/// The options of [`Server::start`](crate::Server::start).
#[derive(Debug, Clone)]
pub struct Options {
    /// The data root, such as `.cairn/postgres`. It is created if it is missing. Downloaded binaries are kept beside it in
    /// `postgres-bin`.
    pub data_dir: PathBuf,
    /// How durable a commit is.
    pub durability: Durability,
    /// Additional server settings by name, which take precedence over those of this crate.
    pub settings: Vec<(String, String)>,
    /// If a live process already runs the server of this data root, use that server instead of failing with
    /// [`Error::AlreadyRunning`](crate::Error::AlreadyRunning). Neither [`Server::stop`](crate::Server::stop) nor dropping
    /// stops it then.
    pub reuse: bool,
    /// Remove the whole data root once the server is down, even if this process is killed.
    pub remove_when_stopped: bool,
}

impl Options {
    /// Options for the data root `data_dir`, without additional settings, reuse or removal.
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
            // TCP only, because a socket file can be left behind, and its path can be too long.
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
