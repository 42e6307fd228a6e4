//! What tests, benchmarks and chaos share: running the programs under test as processes.

pub mod processes;
