//! Platform settings, for everybody.

pub mod platform;
