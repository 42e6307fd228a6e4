//! Jobs: how they are stored, taken, ended, operated and cleaned up.

mod housekeeping;
mod lease;
mod operate;
mod plans;
mod record;
mod store;
