//! Starting, stopping and sharing servers.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use cairn_postgres::{Durability, Error, Options, Server};
use sqlx::{Connection, PgConnection};

use crate::support::{Process, commit, full, is_alive, notes, passable_dir, setting};

#[tokio::test]
async fn data_port_and_password_survive_a_stop() {
    let dir = passable_dir();
    let root = dir.path().join("postgres");
    let server = Server::start(full(&root)).await.unwrap();
    server.create_database_if_missing("app").await.unwrap();
    server.create_database_if_missing("app").await.unwrap();
    commit(&server.url("app"), "kept").await;
    let (url, pid) = (server.url("app"), server.pid());
    server.stop().await.unwrap();
    assert!(!is_alive(pid));

    let server = Server::start(full(&root)).await.unwrap();
    assert_eq!(server.url("app"), url);
    assert_eq!(notes(&url).await, ["kept"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_a_server_releases_its_data_root() {
    let dir = passable_dir();
    let server = Server::start(full(dir.path())).await.unwrap();
    commit(&server.url("postgres"), "kept").await;
    drop(server);
    let server = Server::start(full(dir.path())).await.unwrap();
    assert_eq!(notes(&server.url("postgres")).await, ["kept"]);
    server.stop().await.unwrap();
}

/// Whoever is a superuser of the server can read its environment. That of this process has variables of cargo, as that of a
/// platform has the key of its tokens.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_and_its_watcher_know_nothing_of_the_environment_of_their_owner() {
    let names = |pid: u32| -> Vec<String> {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let variables = environment.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
        variables.map(|variable| String::from_utf8_lossy(variable).split('=').next().unwrap().to_owned()).collect()
    };
    let own = std::process::id();
    assert!(names(own).iter().any(|name| name == "CARGO_MANIFEST_DIR"), "there is something to keep to oneself");
    let dir = passable_dir();
    let server = Server::start(full(dir.path())).await.unwrap();
    let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    let watchers = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    for pid in watchers.chain([server.pid()]) {
        let passed: Vec<String> = names(pid).into_iter().filter(|name| !name.starts_with("PG")).collect();
        let allowed = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LOCALE_ARCHIVE", "LC_ALL", "PWD"];
        assert!(passed.iter().all(|name| allowed.contains(&name.as_str())), "{passed:?}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn settings_depend_on_the_durability_and_the_caller() {
    let dir = passable_dir();
    let options = Options::new(dir.path(), Durability::Relaxed).settings(&[("work_mem", "7MB")]);
    let server = Server::start(options).await.unwrap();
    for (name, value) in [
        ("fsync", "off"),
        ("work_mem", "7MB"),
        ("listen_addresses", "127.0.0.1"),
        ("max_connections", "200"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(setting(&server, name).await, value, "{name}");
    }
    server.stop().await.unwrap();
    let server = Server::start(full(dir.path())).await.unwrap();
    assert_eq!(setting(&server, "fsync").await, "on");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_invalid_setting_is_named_in_the_error() {
    let dir = passable_dir();
    let error = Server::start(full(dir.path()).settings(&[("work_mem", "much")])).await.unwrap_err().to_string();
    assert!(error.contains("work_mem"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    // The failed start has released the data root.
    Server::start(full(dir.path())).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn the_password_is_required_to_connect() {
    let dir = passable_dir();
    let server = Server::start(full(dir.path())).await.unwrap();
    let file = server.root().join("password");
    let password = std::fs::read_to_string(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{server:?}").contains(&password));

    let wrong = server.url("postgres").replace(&password, "wrong");
    let refused = PgConnection::connect(&wrong).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "28P01");
    server.stop().await.unwrap();

    std::fs::write(&file, "another").unwrap();
    let error = Server::start(full(dir.path())).await.unwrap_err();
    assert!(matches!(error, Error::Password { .. }), "{error}");
}

#[tokio::test]
async fn two_concurrent_starts_result_in_one_server() {
    let dir = passable_dir();
    let start = || tokio::spawn(Server::start(full(dir.path())));
    let results = [start(), start()];
    let mut servers = Vec::new();
    for result in results {
        match result.await.unwrap() {
            Ok(server) => servers.push(server),
            Err(error) => assert!(matches!(error, Error::AlreadyRunning { .. }), "{error}"),
        }
    }
    assert_eq!(servers.len(), 1);
    servers.remove(0).stop().await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_process_is_refused_or_shared() {
    let dir = passable_dir();
    let root = dir.path().join("postgres");
    let other = Process::serving(&root).await;
    let error = Server::start(full(&root)).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyRunning { pid, .. } if pid == other.0.id()), "{error}");

    let mut options = full(&root);
    options.reuse = true;
    let mut shared = Server::start(options).await.unwrap();
    let (url, pid) = (shared.url("postgres"), shared.pid());
    assert_eq!(notes(&url).await, ["from the other process"]);
    assert!(matches!(shared.restart_immediate().await, Err(Error::NotOwner)));
    shared.stop().await.unwrap();
    assert!(is_alive(pid), "only its owner can stop it");
    assert_eq!(notes(&url).await, ["from the other process"]);
}

#[tokio::test]
async fn the_server_never_runs_as_root_and_needs_no_reachable_directory() {
    // Only this user can enter it, as with a home directory.
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let root = closed.path().join("deep").join("postgres");
    let server = Server::start(full(&root)).await.unwrap();
    commit(&server.url("postgres"), "kept").await;
    assert_ne!(server.root().join("data").metadata().unwrap().uid(), 0);
    let used_root = server.root().to_owned();
    server.stop().await.unwrap();

    let server = Server::start(full(&root)).await.unwrap();
    assert_eq!(server.root(), used_root, "the same directory at every start");
    assert_eq!(notes(&server.url("postgres")).await, ["kept"]);
    server.stop().await.unwrap();
    if !used_root.starts_with(closed.path()) {
        std::fs::remove_dir_all(used_root.parent().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn data_of_another_user_is_refused() {
    let dir = passable_dir();
    if chown(dir.path(), Some(4711), None).is_err() {
        return; // Only root can change the owner of a directory.
    }
    let error = Server::start(full(dir.path())).await.unwrap_err();
    assert!(matches!(error, Error::Ownership { owner: 4711, .. }), "{error}");
    chown(dir.path(), Some(0), None).unwrap();

    let server = Server::start(full(dir.path())).await.unwrap();
    server.stop().await.unwrap();
    let data = dir.path().join("data");
    chown(&data, Some(4711), None).unwrap();
    let error = Server::start(full(dir.path())).await.unwrap_err();
    assert!(matches!(&error, Error::Ownership { path, .. } if path.ends_with(Path::new("data"))), "{error}");
}
