//! Jobs: storing, claiming, finishing, operating and cleaning up.

mod clocks;
mod housekeeping;
mod lease;
mod operate;
mod plans;
mod position;
mod record;
mod store;
