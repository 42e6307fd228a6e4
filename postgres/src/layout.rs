//! The layout of a data root, and its creation.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::error::io;
use crate::{Error, Result};

/// Paths below a data root.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    /// Creates the data root, or a replacement for it if `account` cannot reach it.
    pub(crate) fn prepare(intended: &Path, account: Account) -> Result<Self> {
        let intended = std::path::absolute(intended).map_err(io("resolve", intended))?;
        let mut root = intended.clone();
        if account.switch && !account.can_enter(nearest_existing(&intended)) {
            root = replacement(&intended)?;
            tracing::info!(
                "the unprivileged account that runs PostgreSQL cannot access {}: the data is in {}",
                intended.display(),
                root.display()
            );
        }
        private_dir(&root, account.switch)?;
        let root = root.canonicalize().map_err(io("resolve", &root))?;
        Ok(Self { root })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where `initdb` creates the cluster, which is renamed to [`Self::data`] when it is complete.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join("data.unfinished")
    }

    pub(crate) fn password(&self) -> PathBuf {
        self.root.join("password")
    }

    /// The file from which `initdb` reads the password. It is removed afterwards.
    pub(crate) fn password_for_initdb(&self) -> PathBuf {
        self.root.join("password.initdb")
    }

    pub(crate) fn port(&self) -> PathBuf {
        self.root.join("port")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("owner.lock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// The cache of downloaded binaries. It is beside the root, so that it outlives the data.
    pub(crate) fn binaries(&self) -> PathBuf {
        self.root.with_file_name("postgres-bin")
    }

    /// The major version of the data; `None` if there is none yet. Fails if the data belongs to another account.
    pub(crate) fn data_version(&self, account: Account) -> Result<Option<u32>> {
        let data = self.data();
        let metadata = match data.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(io("examine", &data))?,
        };
        if metadata.uid() != account.uid {
            return Err(Error::Ownership { path: data, owner: metadata.uid(), needed: account.uid });
        }
        let file = data.join("PG_VERSION");
        let version = std::fs::read_to_string(&file).map_err(io("read", &file))?;
        Ok(version.trim().parse().ok())
    }

    /// The port of the last start.
    pub(crate) fn saved_port(&self) -> Option<u16> {
        std::fs::read_to_string(self.port()).ok()?.trim().parse().ok()
    }

    /// The stored password.
    pub(crate) fn read_password(&self) -> Result<String> {
        let file = self.password();
        match std::fs::read_to_string(&file) {
            Ok(password) if !password.trim().is_empty() => Ok(password.trim().to_owned()),
            Ok(_) => Err(Error::Password { file, root: self.root.clone() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::Password { file, root: self.root.clone() })
            }
            Err(error) => Err(io("read", &file)(error)),
        }
    }
}

/// Creates `dir` if it is missing, and makes sure that it is a directory of this user to which others cannot write.
/// If `passable`, other accounts may traverse it, but not list it.
pub(crate) fn private_dir(dir: &Path, passable: bool) -> Result<()> {
    let mode = if passable { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(io("create", dir))?;
    let metadata = dir.symlink_metadata().map_err(io("examine", dir))?;
    let user = rustix::process::geteuid().as_raw();
    // A symbolic link in a directory to which others can write could point anywhere, so the owner of the link is checked.
    if metadata.uid() != user {
        return Err(Error::Ownership { path: dir.to_owned(), owner: metadata.uid(), needed: user });
    }
    std::fs::set_permissions(dir, Permissions::from_mode(mode)).map_err(io("set permissions of", dir))
}

/// Writes a file that only this user can read, replacing an existing one.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<File> {
    // An existing file may be readable by others, or belong to them.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("replace", path)(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("create", path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", path))?;
    Ok(file)
}

/// The first eight bytes of the SHA-256 of `text` in hexadecimal, for short names.
pub(crate) fn short_hash(text: &[u8]) -> String {
    let start = Sha256::digest(text).into_iter().take(8);
    format!("{:016x}", start.fold(0_u64, |number, byte| number << 8 | u64::from(byte)))
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

/// A directory that every account can reach, and that is always the same for the same intended path.
fn replacement(intended: &Path) -> Result<PathBuf> {
    let base = Path::new("/var/tmp").join(format!("cairn-{}", short_hash(intended.as_os_str().as_encoded_bytes())));
    private_dir(&base, true)?;
    Ok(base.join("postgres"))
}
