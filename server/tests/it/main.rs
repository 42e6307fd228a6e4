//! The server against clients that misbehave, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod requests;
mod shutdown;
mod support;
