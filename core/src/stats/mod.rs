//! Statistics of the whole platform: what the worker keeps, and how it is read.

pub mod daily;
pub mod dashboard;
pub mod funnel;
pub mod jobs;
pub mod lessons;
pub mod refresh;
