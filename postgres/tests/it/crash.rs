//! Recovery after each of the processes has been killed.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use cairn_postgres::Server;
use rustix::process::{Pid, getpgid, getpgrp};

use crate::support::{Process, commit, full, is_alive, kill, notes, passable_dir, until};

/// The process id in the pid file of the server on `root`.
fn postmaster(root: &Path) -> u32 {
    let text = std::fs::read_to_string(root.join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_immediate_restart_keeps_commits_port_and_url() {
    let dir = passable_dir();
    let mut server = Server::start(full(dir.path())).await.unwrap();
    let (url, pid) = (server.url("postgres"), server.pid());
    commit(&url, "before").await;
    server.restart_immediate().await.unwrap();
    assert_ne!(server.pid(), pid);
    assert_eq!(server.url("postgres"), url);
    commit(&url, "after").await;
    assert_eq!(notes(&url).await, ["after", "before"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupt_from_the_terminal_does_not_reach_the_server() {
    let dir = passable_dir();
    let server = Server::start(full(dir.path())).await.unwrap();
    // A terminal sends signals to its whole foreground process group.
    let group = getpgid(Pid::from_raw(i32::try_from(server.pid()).unwrap())).unwrap();
    assert_ne!(group, getpgrp());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_recovers_committed_data() {
    let dir = passable_dir();
    let mut server = Server::start(full(dir.path())).await.unwrap();
    let url = server.url("postgres");
    commit(&url, "first").await;
    kill(server.pid());
    server.restart_immediate().await.unwrap();
    commit(&url, "second").await;
    kill(server.pid());
    drop(server);
    let server = Server::start(full(dir.path())).await.unwrap();
    assert_eq!(notes(&server.url("postgres")).await, ["first", "second"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_ends_when_its_owner_is_killed() {
    let dir = passable_dir();
    let root = dir.path().join("postgres");
    let owner = Process::serving(&root).await;
    let pid = postmaster(&root);
    owner.kill();
    until("the server is gone", || !is_alive(pid)).await;
    let server = Server::start(full(&root)).await.unwrap();
    assert_eq!(notes(&server.url("postgres")).await, ["from the other process"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_waits_for_the_earlier_server_to_end() {
    let dir = passable_dir();
    let root = dir.path().join("postgres");
    Process::serving(&root).await.kill();
    let server = Server::start(full(&root)).await.unwrap();
    assert_eq!(notes(&server.url("postgres")).await, ["from the other process"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_throw_away_directory_is_removed_when_its_owner_is_killed() {
    let dir = passable_dir();
    let root = dir.path().join("removed");
    let owner = Process::serving(&root).await;
    assert!(root.exists());
    owner.kill();
    until("the directory is gone", || !root.exists()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_without_owner_and_watcher_is_taken_over() {
    let dir = passable_dir();
    let root = dir.path().join("postgres");
    let owner = Process::serving(&root).await;
    let pid = postmaster(&root);
    let data = root.canonicalize().unwrap().join("data");
    kill(watcher(&data));
    owner.kill();
    assert!(is_alive(pid), "neither the owner nor the watcher is left to end it");

    let server = Server::start(full(&root)).await.unwrap();
    assert!(!is_alive(pid) && server.pid() != pid);
    assert_eq!(notes(&server.url("postgres")).await, ["from the other process"]);
    server.stop().await.unwrap();
}

/// Finds the watcher of the server on `data`: the shell that has the directory as an argument.
#[cfg(target_os = "linux")]
fn watcher(data: &Path) -> u32 {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut watchers = pids.filter(|pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.starts_with("/bin/sh\0") && line.contains(&format!("\0{}\0", data.display()))
    });
    watchers.next().unwrap()
}

#[tokio::test]
async fn a_pid_file_that_names_another_program_does_not_stop_a_start() {
    let dir = passable_dir();
    let mut server = Server::start(full(dir.path())).await.unwrap();
    let url = server.url("postgres");
    commit(&url, "kept").await;
    // It runs under the server's account, because Postgres ignores processes of other users anyway.
    let account = dir.path().join("data").metadata().unwrap();
    let mut command = Command::new("sleep");
    command.arg("600");
    if rustix::process::geteuid().is_root() {
        command.uid(account.uid()).gid(account.gid());
    }
    let mut other = Process(command.spawn().unwrap());
    kill(server.pid());
    let file = dir.path().join("data/postmaster.pid");
    let text = std::fs::read_to_string(&file).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    std::fs::write(&file, format!("{}\n{rest}", other.0.id())).unwrap();

    server.restart_immediate().await.unwrap();
    assert_eq!(notes(&url).await, ["kept"]);
    assert!(other.0.try_wait().unwrap().is_none(), "the other program is still running");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_initdb_is_repeated() {
    let dir = passable_dir();
    let root = dir.path().join("postgres");
    let owner = Process::holding(&root);
    until("initdb is running", || root.join("data.unfinished/PG_VERSION").exists() || root.join("data").exists()).await;
    owner.kill();
    let server = Server::start(full(&root)).await.unwrap();
    commit(&server.url("postgres"), "works").await;
    assert!(!root.join("data.unfinished").exists());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn remains_of_a_killed_initdb_are_not_mistaken_for_a_cluster() {
    let dir = passable_dir();
    let unfinished = dir.path().join("data.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();
    for file in ["password", "password.initdb"] {
        std::fs::write(dir.path().join(file), "half").unwrap();
    }
    let server = Server::start(full(dir.path())).await.unwrap();
    commit(&server.url("postgres"), "works").await;
    assert!(!unfinished.exists() && !dir.path().join("password.initdb").exists());
    server.stop().await.unwrap();
}
