//! Where clients are generated.

use std::path::PathBuf;

use crate::steps::target;

/// A path below `target/clients`.
pub(super) fn folder(path: &str) -> PathBuf {
    target("clients").join(path)
}
