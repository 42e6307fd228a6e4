//! The HTTP API: routes, problem documents, callers, the OpenAPI document.

mod answers;
pub mod app;
mod budget;
pub mod caller;
mod compression;
mod contract;
mod edge;
mod export;
mod metrics;
pub mod openapi;
pub mod operation;
pub mod ops;
mod pages;
mod parameters;
pub mod params;
pub mod problem;
mod resource;
pub mod routes;
mod security;
mod serve;
pub mod streams;
mod time;
mod trees;
mod view;

pub use app::App;
pub use budget::Budgets;
pub use edge::endpoint;
pub use openapi::{openapi_31_json, openapi_as_json_schema, openapi_json};
pub use problem::{Code, Problem};
pub use serve::{STOP_LIMIT, ServeError, listen, run, serve};
