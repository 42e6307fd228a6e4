//! What the servers never do, whatever a user sends: start programs, and call anybody but whom the configuration names.

use super::Workspace;

/// The sources of the servers.
const SERVERS: [&str; 3] = ["api/src/", "core/src/", "worker/src/"];
/// What starts a program.
const PROGRAMS: &str = "process::Command";
/// The client for HTTP, and the places that may use it: for the provider of answers, the operator's hook for mails, and the collector
/// of traces.
const CLIENT: &str = "reqwest::";
const CALLERS: [&str; 4] =
    ["worker/src/http.rs", "worker/src/providers/", "worker/src/mail_hook.rs", "core/src/telemetry/"];

/// Names files of the servers that start programs, or use a client for HTTP where none is expected.
pub(super) fn findings(workspace: &Workspace) -> Vec<String> {
    let servers = workspace.iter().filter(|(file, _)| SERVERS.iter().any(|server| file.starts_with(server)));
    let mut findings = Vec::new();
    for (file, text) in servers {
        if text.contains(PROGRAMS) {
            findings.push(format!("{file}: starts a program, which the servers never do"));
        }
        if text.contains(CLIENT) && !CALLERS.iter().any(|caller| file.starts_with(caller)) {
            findings.push(format!("{file}: calls another server; only {} may", CALLERS.join(" and ")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Workspace, rust_files_of};
    use super::findings;

    fn found(file: &str, text: &str) -> Vec<String> {
        findings(&Workspace::from([(file.to_owned(), text.to_owned())]))
    }

    /// The findings for the servers as they are.
    fn now() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut workspace = Workspace::new();
        for server in ["api", "core", "worker"] {
            let files = rust_files_of(&root.join(server)).unwrap();
            assert!(files.len() > 20, "{server}");
            workspace.extend(files.into_iter().map(|(file, text)| {
                let file = file.strip_prefix(&format!("{}/", root.display())).unwrap().to_owned();
                (file, text)
            }));
        }
        findings(&workspace)
    }

    #[test]
    fn no_program_is_started_by_the_servers() {
        assert_eq!(found("api/src/x.rs", "use std::process::Command;").len(), 1);
        assert_eq!(found("api/tests/it/x.rs", "use std::process::Command;").len(), 0);
        assert_eq!(now(), [""; 0]);
    }

    #[test]
    fn no_server_is_called_that_a_user_names() {
        assert_eq!(found("core/src/community/x.rs", "reqwest::get(url)").len(), 1);
        assert_eq!(found("worker/src/providers/x.rs", "reqwest::Client").len(), 0);
        assert_eq!(now(), [""; 0]);
    }
}
