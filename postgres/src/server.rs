//! The server on a data root.

use std::fmt;
use std::path::Path;
use std::process::Child;
use std::time::Instant;

use rustix::process::Signal;

use crate::account::Account;
use crate::layout::{Layout, write_private};
use crate::owner::{Claim, Ownership};
use crate::postmaster::{Launch, POLL, PidFile};
use crate::startup::{SHUTDOWN, START_LIMIT, end, end_orphan, launch_on_a_port, url};
use crate::watcher::Watcher;
use crate::{Binaries, Durability, Error, Options, Result, Search, cluster, database};

/// A running server. Dropping it shuts the server down in the background, while [`Server::stop`] waits for it.
pub struct Server {
    layout: Layout,
    password: String,
    port: u16,
    pid: u32,
    /// `None` if the server belongs to another process.
    process: Option<Process>,
}

/// The resources of the owner of a server.
struct Process {
    child: Child,
    watcher: Watcher,
    ownership: Ownership,
    binaries: Binaries,
    account: Account,
    settings: Vec<(String, String)>,
}

impl Server {
    /// Starts the server on a data root, creating the cluster on first use, and returns once it accepts connections.
    ///
    /// A server whose owner was killed is shut down and started again. If this process is root, the server runs under an
    /// unprivileged account, and if that account cannot reach the data root, the data is stored below `/var/tmp`.
    ///
    /// # Errors
    /// Every variant of [`Error`] except [`Error::NotOwner`] and [`Error::Prepare`].
    pub async fn start(options: Options) -> Result<Self> {
        let account = Account::current()?;
        let layout = Layout::prepare(&options.data_dir, account)?;
        let deadline = Instant::now() + START_LIMIT;
        let ownership = loop {
            match Ownership::claim(&layout).await? {
                Claim::Owned(ownership) => break ownership,
                Claim::OwnedBy(pid) if !options.reuse => {
                    return Err(Error::AlreadyRunning { root: layout.root, pid });
                }
                // The owner may still be starting the server, or may be ending: try again until it is clear.
                Claim::OwnedBy(pid) => match Self::attach(&layout).await {
                    Some(server) => return Ok(server),
                    None if Instant::now() > deadline => {
                        return Err(Error::Busy { root: layout.root, pid: Some(pid) });
                    }
                    None => tokio::time::sleep(POLL).await,
                },
            }
        };
        let data = layout.data();
        let version = layout.data_version(account)?;
        let binaries = Search::of_machine(layout.binaries()).find(version).await?;
        let unrelated = end_orphan(&layout).await?;
        if version.is_none() {
            let sync = options.durability == Durability::Full;
            cluster::create(&layout, &binaries, account, sync, &ownership).await?;
        }
        let password = layout.read_password()?;
        let settings = options.all_settings();
        let watcher = Watcher::spawn(&data, options.remove_when_stopped.then_some(&layout.root), &ownership)?;
        let launch = Launch { binaries: &binaries, account, data: &data, settings: &settings, port: 0, unrelated };
        let (child, port) = launch_on_a_port(&layout, launch, None, &password).await?;
        let pid = child.id();
        write_private(&layout.port(), &port.to_string())?;
        tracing::debug!("PostgreSQL {} runs on port {port}, data in {}", binaries.major(), layout.root.display());
        let process = Process { child, watcher, ownership, binaries, account, settings };
        Ok(Self { layout, password, port, pid, process: Some(process) })
    }

    /// The server that another process runs on this data root, if it accepts connections already.
    async fn attach(layout: &Layout) -> Option<Self> {
        let PidFile { pid, port: Some(port), ready: true } = PidFile::read(&layout.data())? else { return None };
        let server = Self { layout: layout.clone(), password: layout.read_password().ok()?, port, pid, process: None };
        database::connect(&server.url("postgres")).await.ok()?;
        Some(server)
    }

    /// The superuser's URL of a database on this server. It contains the password, so never log it. `database` is not
    /// escaped, so it should be a plain name.
    pub fn url(&self, database: &str) -> String {
        url(&self.password, self.port, database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the server's programs, such as `postgres` and `pg_dump`; `None` if another process runs the server.
    pub fn programs(&self) -> Option<&Path> {
        self.process.as_ref().map(|process| process.binaries.dir())
    }

    /// The process id of the server (the postmaster).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The actual data root: see [`Server::start`].
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// Creates a database unless it exists.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub async fn create_database_if_missing(&self, name: &str) -> Result<()> {
        let mut connection = database::connect(&self.url("postgres")).await?;
        database::create_if_missing(&mut connection, name).await
    }

    /// Shuts the server down in fast mode (ends sessions, writes all data) and returns once it is down. Does nothing if the
    /// server belongs to another process.
    ///
    /// # Errors
    /// [`Error::Busy`] if it does not end within about two minutes.
    pub async fn stop(mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.ownership.renounce();
        end(&mut process.child, &SHUTDOWN, &self.layout).await?;
        process.watcher.finish(&self.layout.root).await
    }

    /// Ends the server like a crash (terminates sessions, writes no data) and starts it again on the same port, even if it
    /// was killed before.
    ///
    /// # Errors
    /// [`Error::NotOwner`] if the server belongs to another process, otherwise like [`Server::start`].
    pub async fn restart_immediate(&mut self) -> Result<()> {
        let process = self.process.as_mut().ok_or(Error::NotOwner)?;
        end(&mut process.child, &[Signal::QUIT, Signal::KILL], &self.layout).await?;
        let data = self.layout.data();
        let launch = Launch {
            binaries: &process.binaries,
            account: process.account,
            data: &data,
            settings: &process.settings,
            port: self.port,
            unrelated: end_orphan(&self.layout).await?,
        };
        let (child, _) = launch_on_a_port(&self.layout, launch, Some(self.port), &self.password).await?;
        self.pid = child.id();
        process.child = child;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(Process { mut child, watcher, ownership, .. }) = self.process.take() else { return };
        ownership.renounce();
        let mut watcher = watcher.release();
        // Only waits so that no zombies accumulate. The watcher does its work in any case.
        std::thread::spawn(move || drop((child.wait(), watcher.wait(), ownership)));
    }
}

/// Omits the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Server");
        debug.field("root", &self.layout.root).field("port", &self.port).field("pid", &self.pid);
        debug.field("owned", &self.process.is_some()).finish_non_exhaustive()
    }
}
