//! Which operations the tests of a run have exercised.
//!
//! Tests run as threads in any order, so none of them can tell. Each appends what it exercised to the file named by
//! `CAIRN_TEST_COVERAGE`, and `cargo xtask test` compares the file with the document when all are done.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;

/// Appends operation ids to the file, if there is to be one.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to read it from")]
pub(super) fn append(operations: &BTreeSet<String>) {
    let Some(path) = std::env::var_os("CAIRN_TEST_COVERAGE") else { return };
    let lines: String = operations.iter().flat_map(|operation| [operation, "\n"]).collect();
    let file = OpenOptions::new().create(true).append(true).open(path);
    // In one write, so that lines of several tests do not mix.
    file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("CAIRN_TEST_COVERAGE names a writable file");
}
