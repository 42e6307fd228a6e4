//! What admins look at and set: activity, platform settings, the check of every derived value.

pub mod activity;
pub mod demo;
pub mod health;
pub mod housekeeping;
pub mod settings;
pub mod verify;
