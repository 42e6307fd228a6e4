//! Jobs: how they are stored, taken, ended and cleaned up.

mod housekeeping;
mod lease;
mod record;
mod store;
