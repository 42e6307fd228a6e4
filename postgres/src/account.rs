//! The account the server runs under: never root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The accounts to use if this process is root, in order of preference.
const UNPRIVILEGED: [&str; 3] = ["postgres", "_postgres", "nobody"];

/// The variables that the server and its watcher get from this process.
const PASSED_ON: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LOCALE_ARCHIVE"];

/// The user and group of the server's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether this process is root and has to switch to the account.
    pub(crate) switch: bool,
}

impl Account {
    /// The account of this process, or an unprivileged one if this process is root.
    pub(crate) fn current() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            return Ok(Self { uid, gid, switch: false });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = UNPRIVILEGED.iter().find_map(|name| lookup(&passwd, name));
        let (uid, gid) = found.ok_or(Error::NoAccount)?;
        Ok(Self { uid, gid, switch: true })
    }

    /// Makes `command` run under this account, without the working directory of this process, and with no more of its
    /// environment than a program needs to run. The rest holds secrets, such as the key of the tokens, and a superuser of
    /// the server can read the environment of the server.
    pub(crate) fn apply(self, command: &mut Command) {
        command.current_dir("/");
        restrict_environment(command);
        command.env("LC_ALL", "C");
        if self.switch {
            // Changing the user as root also clears the supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Whether the account can enter `dir`. This is tested by trying it, because it depends on more than mode bits.
    pub(crate) fn can_enter(self, dir: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        self.apply(&mut command);
        command.args(["-c", r#"cd -- "$1""#, "sh"]).arg(dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// Clears the environment of `command`, except for what finding and loading a program needs.
#[expect(clippy::disallowed_methods, reason = "it is passed on, not read")]
pub(crate) fn restrict_environment(command: &mut Command) {
    command.env_clear();
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// Finds the user and group id of an account in the text of `/etc/passwd`. Never returns user 0.
fn lookup(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok().filter(|uid| *uid != 0)?;
    Some((uid, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::lookup;

    #[test]
    fn finds_ids_but_never_those_of_root() {
        let passwd = "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\npostgres:x:101:104:a,b:/var:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some((101, 104)));
        assert_eq!(lookup(passwd, "toor"), None);
        assert_eq!(lookup(passwd, "postgre"), None);
    }
}
