//! The watcher: a shell that shuts the server down when its owner has ended.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use std::os::unix::process::CommandExt;

use crate::account;
use crate::error::io;
use crate::owner::Ownership;
use crate::postmaster::ended;
use crate::{Error, Result};

/// Waits for the end of standard input, which is reached when the owner closes the pipe or dies in any way. Then shuts the
/// server down (in fast mode, and in immediate mode after 30 seconds) and removes the directory in the second argument, if
/// any. The pid is read only when it is needed, so the owner may restart the server, and the script checks that the process
/// with that pid is the server.
const SCRIPT: &str = r#"
trap '' HUP INT TERM QUIT
while read -r _; do :; done
pid_file=$1/postmaster.pid
server() {
    pid=
    [ -r "$pid_file" ] && read -r pid <"$pid_file"
    case $pid in ''|*[!0-9]*) return 1;; esac
    kill -0 "$pid" 2>/dev/null || return 1
    if [ -r "/proc/$pid/cmdline" ]; then
        tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "postgres -D $1 "
    else
        ps -o args= -p "$pid" | grep -qF -- "postgres -D $1 "
    fi
}
tenths=0
while server "$1"; do
    case $tenths in
        0) kill -INT "$pid";;
        300) kill -QUIT "$pid";;
        600) break;;
    esac
    tenths=$((tenths + 1))
    sleep 0.1
done
[ -z "$2" ] || rm -rf -- "$2"
"#;

/// A running watcher. Dropping it triggers the shutdown in the background.
#[derive(Debug)]
pub(crate) struct Watcher {
    child: Child,
}

impl Watcher {
    /// Starts the watcher of the server on `data`. `remove` is the directory to remove at the end.
    pub(crate) fn spawn(data: &Path, remove: Option<&Path>, ownership: &Ownership) -> Result<Self> {
        let shell = Path::new("/bin/sh");
        let mut command = Command::new(shell);
        command.args(["-c", SCRIPT, "sh"]).arg(data).arg(remove.unwrap_or(Path::new("")));
        account::restrict_environment(&mut command);
        // Standard output is only used to hold the lock for as long as the watcher lives.
        command.stdin(Stdio::piped()).stdout(ownership.share()?).stderr(Stdio::null());
        let child = command.current_dir("/").process_group(0).spawn().map_err(io("start", shell))?;
        Ok(Self { child })
    }

    /// Triggers the shutdown and waits until it is complete.
    pub(crate) async fn finish(&mut self, root: &Path) -> Result<()> {
        drop(self.child.stdin.take());
        match ended(&mut self.child, Duration::from_secs(90)).await {
            Some(_) => Ok(()),
            None => Err(Error::Busy { root: root.to_owned(), pid: Some(self.child.id()) }),
        }
    }

    /// Triggers the shutdown. Returns the process for the caller to wait for.
    pub(crate) fn release(mut self) -> Child {
        drop(self.child.stdin.take());
        self.child
    }
}
