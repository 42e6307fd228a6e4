//! Which server binaries are used, and the error if there are none.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cairn_postgres::{Error, Search};

use crate::support::passable_dir;

/// Creates a directory with programs that only print their version.
fn fake(parent: &Path, version: &str) -> PathBuf {
    let dir = parent.join(version).join("bin");
    std::fs::create_dir_all(&dir).unwrap();
    for program in ["postgres", "initdb"] {
        let path = dir.join(program);
        std::fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

/// A search that finds only the test's own binaries and cannot download any.
fn search(parent: &Path) -> Search {
    let releases = "https://unsupported.invalid/releases".to_owned();
    Search {
        chosen: None,
        directories: Vec::new(),
        cache: parent.join("cache"),
        releases,
        trusted: Some("published".to_owned()),
    }
}

#[tokio::test]
async fn without_binaries_and_a_download_the_error_says_what_to_install() {
    let dir = passable_dir();
    let error = search(dir.path()).find(None).await.unwrap_err().to_string();
    assert!(error.starts_with("no PostgreSQL 14+ server found and the download failed ("), "{error}");
    assert!(error.contains("apt-get install postgresql") && error.contains("DATABASE_URL"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[tokio::test]
async fn nothing_is_downloaded_that_nothing_can_be_compared_with() {
    let dir = passable_dir();
    let search = Search { trusted: None, ..search(dir.path()) };
    // A version of which there is no release.
    let error = search.find(Some(99)).await.unwrap_err().to_string();
    assert!(error.contains("no checksum of PostgreSQL 99") && error.contains("CAIRN_POSTGRES_SHA256"), "{error}");
}

#[tokio::test]
async fn the_first_supported_version_is_used() {
    let dir = passable_dir();
    let mut search = search(dir.path());
    search.directories = vec![dir.path().join("missing"), fake(dir.path(), "13.9"), fake(dir.path(), "16.1")];
    search.directories.push(fake(dir.path(), "18.0"));
    let found = search.find(None).await.unwrap();
    assert_eq!((found.major(), found.dir()), (16, search.directories[2].as_path()));
    assert_eq!(search.find(Some(18)).await.unwrap().major(), 18);
    let error = search.find(Some(15)).await.unwrap_err().to_string();
    assert!(error.starts_with("no PostgreSQL 15 server found"), "{error}");
}

#[tokio::test]
async fn downloaded_binaries_are_reused() {
    let dir = passable_dir();
    let search = search(dir.path());
    fake(&search.cache, "17.2.0");
    fake(&search.cache, "17.10.0");
    assert!(search.find(None).await.unwrap().dir().ends_with("17.10.0/bin"));
}

#[tokio::test]
async fn a_chosen_directory_is_used_or_refused_but_never_skipped() {
    let dir = passable_dir();
    let mut search = search(dir.path());
    search.directories = vec![fake(dir.path(), "16.1")];
    search.chosen = Some(fake(dir.path(), "17.1"));
    assert_eq!(search.find(None).await.unwrap().major(), 17);
    let error = search.find(Some(16)).await.unwrap_err();
    assert!(matches!(error, Error::VersionMismatch { binaries: 17, data: 16, .. }), "{error}");

    search.chosen = Some(fake(dir.path(), "13.1"));
    let error = search.find(None).await.unwrap_err();
    assert!(matches!(error, Error::ChosenBinaries { .. }), "{error}");
    search.chosen = Some(dir.path().join("missing"));
    let error = search.find(None).await.unwrap_err().to_string();
    assert!(error.contains("CAIRN_POSTGRES_BIN"), "{error}");
}
