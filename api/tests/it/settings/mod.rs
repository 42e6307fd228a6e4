//! Platform settings.

mod platform;
