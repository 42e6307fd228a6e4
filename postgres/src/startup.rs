//! Starts and ends server processes.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use crate::cluster::{self, SUPERUSER};
use crate::error::{io, sql};
use crate::layout::Layout;
use crate::postmaster::{Launch, POLL, PidFile, ended, gone, serves, signal};
use crate::{Error, Result, database};

/// The time limit for a start, including recovery after a crash.
pub(crate) const START_LIMIT: Duration = Duration::from_mins(2);
/// How long a shutdown may take before a harsher signal is sent.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// The signals for a fast shutdown, an immediate shutdown, and a kill.
pub(crate) const SHUTDOWN: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::KILL];
/// SQLSTATE of a wrong password.
const WRONG_PASSWORD: &str = "28P01";

/// The superuser's URL of a database.
pub(crate) fn url(password: &str, port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}")
}

/// Sends the child each signal in turn until it ends.
pub(crate) async fn end(child: &mut Child, signals: &[Signal], layout: &Layout) -> Result<()> {
    for next in signals {
        // A child that has ended keeps its id until it has been waited for, so this cannot affect another process.
        if ended(child, Duration::ZERO).await.is_some() {
            return Ok(());
        }
        signal(child.id(), *next);
        if ended(child, STOP_LIMIT).await.is_some() {
            return Ok(());
        }
    }
    Err(Error::Busy { root: layout.root.clone(), pid: Some(child.id()) })
}

/// Shuts down a server on this data whose owner was killed together with its watcher. It is restarted rather than used as it
/// is, so that it has the current settings and is a child of this process. Returns the process in a stale pid file if it is
/// another program.
pub(crate) async fn end_orphan(layout: &Layout) -> Result<Option<u32>> {
    let data = layout.data();
    let Some(PidFile { pid, .. }) = PidFile::read(&data) else { return Ok(None) };
    if !serves(pid, &data) {
        return Ok(Some(pid));
    }
    for next in SHUTDOWN {
        signal(pid, next);
        if gone(pid, &data, STOP_LIMIT).await {
            return Ok(None);
        }
    }
    Err(Error::Busy { root: layout.root.clone(), pid: Some(pid) })
}

/// Starts the server on `fixed`, or else on the port of the last start or any free port. Tries again while the port is in use
/// or processes of a killed server are still ending.
pub(crate) async fn launch_on_a_port(
    layout: &Layout,
    mut launch: Launch<'_>,
    fixed: Option<u16>,
    password: &str,
) -> Result<(Child, u16)> {
    let deadline = Instant::now() + START_LIMIT;
    let mut preferred = layout.saved_port();
    loop {
        launch.port = match fixed {
            Some(port) => port,
            None => free_port(preferred)?,
        };
        let (log, start) = cluster::open_log(layout)?;
        let mut child = launch.spawn(log)?;
        if ready(&mut child, &launch, layout, password, deadline).await? {
            return Ok((child, launch.port));
        }
        let failure = cluster::log_tail(layout, start);
        let port_taken = failure.contains("could not create any TCP/IP sockets");
        let still_ending = failure.contains("is still in use");
        if Instant::now() > deadline || !(port_taken || still_ending) {
            end(&mut child, &SHUTDOWN, layout).await?;
            return Err(Error::Start { log: failure, file: layout.log() });
        }
        preferred = preferred.filter(|_| !port_taken);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the server accepts connections. Returns `false` if it ended or was not ready in time.
async fn ready(
    child: &mut Child,
    launch: &Launch<'_>,
    layout: &Layout,
    password: &str,
    deadline: Instant,
) -> Result<bool> {
    while ended(child, Duration::ZERO).await.is_none() {
        // Only the pid file shows that this server, and not another program, answers on the port.
        let own = PidFile::read(launch.data).is_some_and(|file| file.ready && file.pid == child.id());
        if own {
            match PgConnection::connect(&url(password, launch.port, "postgres")).await {
                Ok(_) => return Ok(true),
                Err(error) if database::has_code(&error, WRONG_PASSWORD) => {
                    end(child, &SHUTDOWN, layout).await?;
                    return Err(Error::Password { file: layout.password(), root: layout.root.clone() });
                }
                Err(error) if Instant::now() > deadline => return Err(sql("connect to PostgreSQL")(error)),
                Err(_) => {}
            }
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(false)
}

/// Finds a free port, and uses the preferred one if it is free.
fn free_port(preferred: Option<u16>) -> Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    let address = preferred.and_then(|port| bind(port).ok()).map_or_else(|| bind(0), Ok);
    address.map(|address| address.port()).map_err(io("find a free port on", Path::new("127.0.0.1")))
}
