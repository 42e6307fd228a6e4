//! Databases with several hosts, of which one accepts writes: a primary and its standbys.
//!
//! A pool of sqlx connects to one host. The hosts of a URL form a group, which knows the one that accepts writes now. A task
//! watches it, finds another one when it no longer does, and points the pools of the group there. Options of a group carry its
//! number (the setting `cairn.hosts` of their sessions, which means nothing to the server), so that whoever has options can find
//! the group again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::{Notify, watch};

use crate::transient;

/// All groups of the process; there are as many as URLs with several hosts.
static GROUPS: Mutex<Vec<Arc<Group>>> = Mutex::new(Vec::new());

/// The setting that carries the number of a group.
const SETTING: &str = "cairn.hosts";
/// How often the host that is in use is asked whether it accepts writes.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after no host accepted writes.
const SEARCH_INTERVAL: Duration = Duration::from_millis(250);
/// How long a host may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Group {
    hosts: Vec<PgConnectOptions>,
    /// The index of the host that is in use, for whom it concerns.
    current: watch::Sender<usize>,
    pools: Mutex<Vec<PgPool>>,
    is_watched: AtomicBool,
    wake: Notify,
}

/// The options of the first host of a group, with the number of the group.
pub(crate) fn group(hosts: Vec<PgConnectOptions>) -> PgConnectOptions {
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let names = |hosts: &[PgConnectOptions]| -> Vec<_> { hosts.iter().map(place).collect() };
    let known = groups.iter().position(|group| names(&group.hosts) == names(&hosts));
    let options = hosts[0].clone();
    let number = known.unwrap_or_else(|| {
        let (current, pools) = (watch::Sender::new(0), Mutex::default());
        groups.push(Arc::new(Group { hosts, current, pools, is_watched: AtomicBool::new(false), wake: Notify::new() }));
        groups.len() - 1
    });
    let current = *groups[number].current.borrow();
    let options = at(options.options([(SETTING, number.to_string())]), &groups[number].hosts[current]);
    drop(groups);
    options
}

/// What distinguishes the databases of two URLs. The names of roles do not: they are in the same place.
fn place(options: &PgConnectOptions) -> (String, u16, Option<String>) {
    (options.get_host().to_owned(), options.get_port(), options.get_database().map(str::to_owned))
}

/// The same options for the host of others.
fn at(options: PgConnectOptions, host: &PgConnectOptions) -> PgConnectOptions {
    options.host(host.get_host()).port(host.get_port())
}

/// The group of options; `None` if their URL names one host, whatever that is.
pub(crate) fn of(options: &PgConnectOptions) -> Option<Arc<Group>> {
    let (_, number) = options.get_options()?.rsplit_once(&format!("{SETTING}="))?;
    let number: usize = number.split(' ').next()?.parse().ok()?;
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
}

/// Has a pool follow the host that accepts writes. Returns the pool.
pub fn follow(pool: PgPool) -> PgPool {
    if let Some(group) = of(&pool.connect_options()) {
        group.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
        group.point(*group.current.borrow());
        if !group.is_watched.swap(true, Ordering::AcqRel) {
            tokio::spawn(async move { group.watch().await });
        }
    }
    pool
}

/// The options for the host that accepts writes now, for connections outside of pools. If none does, those of the host that was
/// used last.
pub async fn writable(options: &PgConnectOptions) -> PgConnectOptions {
    let Some(group) = of(options) else { return options.clone() };
    if let Some(found) = group.search(options).await {
        group.move_to(found);
    }
    let current = *group.current.borrow();
    at(options.clone(), &group.hosts[current])
}

/// Tells of moves to another host, for connections that would not notice.
#[derive(Debug)]
pub struct Moves(Option<watch::Receiver<usize>>);

impl Moves {
    /// Those of the database of these options, from now on. There are none if it has one host.
    pub fn of(options: &PgConnectOptions) -> Self {
        Self(of(options).map(|group| group.current.subscribe()))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        match &mut self.0 {
            // The sender lives as long as the process.
            Some(current) => drop(current.changed().await),
            None => std::future::pending().await,
        }
    }

    /// Whether there was one since this was last called.
    pub fn have_happened(&mut self) -> bool {
        self.0.as_mut().is_some_and(|current| {
            let has_moved = current.has_changed().unwrap_or(false);
            current.mark_unchanged();
            has_moved
        })
    }
}

/// Whether a session can write. A standby cannot, nor can a session of a server that was told to refuse writes.
async fn can_write(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let query = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'";
    sqlx::query_scalar(query).fetch_one(connection).await
}

impl Group {
    /// Refuses a session that a pool has just opened, if it cannot write. The pool tries again, with the options of then.
    pub(crate) async fn require_writes(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        if can_write(connection).await? {
            return Ok(());
        }
        self.wake.notify_one();
        Err(sqlx::Error::Protocol("the server does not accept writes".to_owned()))
    }

    /// Watches the host that is in use until all pools are closed.
    async fn watch(&self) {
        let mut connection: Option<PgConnection> = None;
        loop {
            if self.is_closed() {
                self.is_watched.store(false, Ordering::Release);
                return;
            }
            connection = match connection {
                Some(mut open) => {
                    let answer = tokio::time::timeout(ANSWER_LIMIT, can_write(&mut open)).await;
                    matches!(answer, Ok(Ok(true))).then_some(open)
                }
                None => None,
            };
            let pause = if connection.is_some() {
                WATCH_INTERVAL
            } else {
                let options = self.hosts[0].clone();
                if let Some(found) = self.search(&options).await {
                    self.move_to(found);
                    connection = open(&self.hosts[found]).await;
                }
                SEARCH_INTERVAL
            };
            if tokio::time::timeout(pause, self.wake.notified()).await.is_ok() {
                connection = None; // a session knows what its server was told before it began
            }
        }
    }

    fn is_closed(&self) -> bool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| !pool.is_closed());
        pools.is_empty()
    }

    /// The first host that accepts writes, and otherwise as `options` say.
    async fn search(&self, options: &PgConnectOptions) -> Option<usize> {
        for (index, host) in self.hosts.iter().enumerate() {
            if open(&at(options.clone(), host)).await.is_some() {
                return Some(index);
            }
        }
        None
    }

    /// From now on, pools and others use this host.
    fn move_to(&self, index: usize) {
        let has_moved = self.current.send_if_modified(|current| std::mem::replace(current, index) != index);
        if has_moved {
            let (host, port) = (self.hosts[index].get_host(), self.hosts[index].get_port());
            tracing::warn!(database.host = host, database.port = port, "another host of the database accepts writes");
            self.point(index);
            transient::outdate_sessions();
        }
    }

    /// Points the pools to a host.
    fn point(&self, index: usize) {
        for pool in &*self.pools.lock().unwrap_or_else(PoisonError::into_inner) {
            pool.set_connect_options(at((*pool.connect_options()).clone(), &self.hosts[index]));
        }
    }
}

/// A connection to a host, if it answers in time and accepts writes.
async fn open(options: &PgConnectOptions) -> Option<PgConnection> {
    let connecting = async {
        let mut connection = options.connect().await.ok()?;
        if matches!(can_write(&mut connection).await, Ok(true)) {
            return Some(connection);
        }
        let _ = connection.close().await; // it is given up in any case
        None
    };
    tokio::time::timeout(ANSWER_LIMIT, connecting).await.ok().flatten()
}
