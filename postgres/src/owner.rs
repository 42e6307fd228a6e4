//! Who runs the server of a data root: one process at a time, the holder of a locked file.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::io;
use crate::layout::Layout;
use crate::postmaster::is_alive;
use crate::{Error, Result};

/// How long to wait for a former server to shut down.
const RELEASE_LIMIT: Duration = Duration::from_mins(1);

/// The locked file. Its text is the owner's process id.
///
/// The watcher and a running `initdb` hold the same lock through inherited handles. So the lock becomes free only when
/// the owner *and* what it started to work on the data is gone, even after a kill.
#[derive(Debug)]
pub(crate) struct Ownership {
    file: File,
    path: PathBuf,
}

/// What became of asking for a data root.
#[derive(Debug)]
pub(crate) enum Claim {
    /// This process owns it.
    Owned(Ownership),
    /// A live process owns it.
    OwnedBy(u32),
}

impl Ownership {
    /// Takes the lock, waiting while nobody alive claims it but it is still held (a former server shutting down).
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

    /// Says that this process no longer claims the server, so that others wait for the lock instead of giving up.
    pub(crate) fn renounce(&self) {
        if let Err(error) = self.write_owner("") {
            tracing::debug!("owner not cleared: {error}");
        }
    }

    fn write_owner(&self, text: &str) -> Result<()> {
        // Through the handle: the path may be gone with the whole data root, and must not come back.
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
        written.map_err(io("write", &self.path))
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // The lock is still held here, so this cannot erase the next owner. The watcher may hold it a little longer.
        self.renounce();
    }
}
