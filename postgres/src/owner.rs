//! Ownership of a data root: one process at a time runs its server, the one that holds a file lock.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::io;
use crate::layout::Layout;
use crate::postmaster::is_alive;
use crate::{Error, Result};

/// How long to wait for an earlier server to shut down.
const RELEASE_LIMIT: Duration = Duration::from_mins(1);

/// The locked file, which contains the owner's process id.
///
/// The watcher and a running `initdb` hold the same lock through inherited handles. The lock is therefore released only when
/// the owner *and* the processes it started on the data are gone, even after a kill.
#[derive(Debug)]
pub(crate) struct Ownership {
    file: File,
    path: PathBuf,
}

/// The result of claiming a data root.
#[derive(Debug)]
pub(crate) enum Claim {
    /// This process owns it.
    Owned(Ownership),
    /// A live process owns it.
    OwnedBy(u32),
}

impl Ownership {
    /// Takes the lock. Waits while the lock is held but its owner is dead, because an earlier server is shutting down.
    pub(crate) async fn claim(layout: &Layout) -> Result<Claim> {
        let path = layout.lock();
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io("open", &path))?;
        let deadline = Instant::now() + RELEASE_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    let ownership = Self { file, path };
                    ownership.write_owner(&std::process::id().to_string())?;
                    return Ok(Claim::Owned(ownership));
                }
                Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let owner = std::fs::read_to_string(&path).unwrap_or_default().trim().parse().ok();
            if let Some(pid) = owner.filter(|pid| is_alive(*pid)) {
                return Ok(Claim::OwnedBy(pid));
            }
            if Instant::now() > deadline {
                return Err(Error::Busy { root: layout.root.clone(), pid: None });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A handle that keeps the lock held for as long as the process it is passed to lives.
    pub(crate) fn share(&self) -> Result<File> {
        self.file.try_clone().map_err(io("share", &self.path))
    }

    /// Gives up the claim to the server, so that other processes wait for the lock instead of failing.
    pub(crate) fn renounce(&self) {
        if let Err(error) = self.write_owner("") {
            tracing::debug!("cannot clear the owner: {error}");
        }
    }

    fn write_owner(&self, text: &str) -> Result<()> {
        // Written through the handle, because the whole data root may have been removed, and must not be created again.
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        written.map_err(io("write", &self.path))
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // The lock is still held, so this cannot erase the next owner. The watcher may hold it a little longer.
        self.renounce();
    }
}
