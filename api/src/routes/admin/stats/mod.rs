//! Statistics of the platform, for admins.

pub mod daily;
pub mod dashboard;
pub mod funnel;
pub mod lessons;
