//! What tests, benchmarks and chaos share: a database for each test, rows to start from, waiting, the rules of progress
//! implemented a second time, running the programs as processes, a proxy that goes silent, and a browser.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::type_complexity, reason = "rows are read as tuples")]

pub mod browser;
pub mod course;
pub mod database;
pub mod expected_progress;
pub mod personal_data;
pub mod processes;
pub mod proxy;
pub mod rows;
mod wait;

pub use self::wait::eventually;
