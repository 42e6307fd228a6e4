//! Creates the cluster in a data root.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::account::Account;
use crate::error::io;
use crate::layout::{Layout, write_private};
use crate::owner::Ownership;
use crate::postmaster::ended;
use crate::{Binaries, Error, Result};

/// The superuser, which all connections use.
pub(crate) const SUPERUSER: &str = "cairn";
/// The size in bytes above which the log is emptied at the next start.
const LOG_LIMIT: u64 = 10_000_000;
/// The time limit for `initdb`, which takes about a second.
const INITDB_LIMIT: Duration = Duration::from_mins(5);

/// Creates the cluster. It is renamed to `data/` only once it is complete. Remains of a killed run are removed first.
pub(crate) async fn create(
    layout: &Layout,
    binaries: &Binaries,
    account: Account,
    sync: bool,
    ownership: &Ownership,
) -> Result<()> {
    let (unfinished, password_file) = (layout.unfinished(), layout.password_for_initdb());
    remove_dir(&unfinished)?;
    let password = format!("{:032x}", rand::random::<u128>());
    write_private(&layout.password(), &password)?;
    write_private(&password_file, &password)?;
    DirBuilder::new().mode(0o700).create(&unfinished).map_err(io("create", &unfinished))?;
    if account.switch {
        for path in [&unfinished, &password_file] {
            chown(path, Some(account.uid), Some(account.gid)).map_err(io("change the owner of", path))?;
        }
    }

    let (log, start) = open_log(layout)?;
    let program = binaries.dir().join("initdb");
    let mut command = Command::new(&program);
    account.apply(&mut command);
    command.args(["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-instructions"]);
    // With the ctype C only ASCII letters have upper and lower case, so the search would miss capitalized Russian words.
    command.arg(if cfg!(target_os = "macos") { "--lc-ctype=en_US.UTF-8" } else { "--lc-ctype=C.UTF-8" });
    command.arg(format!("--username={SUPERUSER}")).arg("--pwfile").arg(&password_file);
    command.arg("-D").arg(&unfinished);
    if !sync {
        command.arg("--no-sync");
    }
    let errors = log.try_clone().map_err(io("share", &layout.log()))?;
    // Standard input only holds the lock: if this process is killed, the next start waits for this initdb to finish before
    // it runs its own.
    command.process_group(0).stdin(ownership.share()?).stdout(log).stderr(errors);
    let mut child = command.spawn().map_err(io("start", &program))?;
    let status = ended(&mut child, INITDB_LIMIT).await;
    std::fs::remove_file(&password_file).map_err(io("remove", &password_file))?;
    if !status.is_some_and(|status| status.success()) {
        return Err(Error::Initdb { log: log_tail(layout, start), file: layout.log() });
    }
    std::fs::rename(&unfinished, layout.data()).map_err(io("rename", &unfinished))
}

/// Opens the log for appending. Also returns its length, after which new lines follow.
pub(crate) fn open_log(layout: &Layout) -> Result<(File, u64)> {
    let path = layout.log();
    let mut options = OpenOptions::new();
    let log = options.append(true).create(true).mode(0o600).open(&path).map_err(io("open", &path))?;
    let length = log.metadata().map_err(io("examine", &path))?.len();
    if length > LOG_LIMIT {
        log.set_len(0).map_err(io("empty", &path))?;
        return Ok((log, 0));
    }
    Ok((log, length))
}

/// What went wrong according to the log after byte `start`: the lines with errors, or else the last lines, on one line.
pub(crate) fn log_tail(layout: &Layout, start: u64) -> String {
    let read = || {
        let mut file = File::open(layout.log())?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_error = |line: &&&str| ["FATAL:", "PANIC:", "HINT:", "error:"].iter().any(|mark| line.contains(mark));
    let mut shown: Vec<&str> = lines.iter().filter(is_error).copied().collect();
    if shown.is_empty() {
        shown = lines;
    }
    let shown = &shown[shown.len().saturating_sub(4)..];
    if shown.is_empty() { "it logged nothing".to_owned() } else { shown.join(" / ") }
}

fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", dir)(error)),
        _ => Ok(()),
    }
}
