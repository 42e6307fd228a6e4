//! The server against clients that misbehave, over real sockets.

mod answers;
mod requests;
mod shutdown;
mod support;
