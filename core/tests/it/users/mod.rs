//! Users: what the schema promises of them, and the plans of their lists.

mod admins;
mod plans;
