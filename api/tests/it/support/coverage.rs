//! Records which operations the tests of a run have exercised.
//!
//! Tests run concurrently and in any order, so no single test knows. Each appends the operations that it exercised to
//! the file named by `CAIRN_TEST_COVERAGE`, and `cargo xtask test` compares the file with the document in the end.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;

/// Appends operation ids to the file, if one is configured.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
pub(super) fn append(operations: &BTreeSet<String>) {
    let Some(path) = std::env::var_os("CAIRN_TEST_COVERAGE") else { return };
    let lines: String = operations.iter().flat_map(|operation| [operation, "\n"]).collect();
    let file = OpenOptions::new().create(true).append(true).open(path);
    // With a single write, so that lines of concurrent tests are not interleaved.
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("CAIRN_TEST_COVERAGE names a writable file");
}
