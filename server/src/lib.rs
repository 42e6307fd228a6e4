//! The HTTP server of Cairn's processes: serves a poem endpoint over HTTP/1.1 and HTTP/2 (with prior knowledge), with a limit
//! for everything that a client can make it wait for or keep.
//!
//! poem's own server has no limit on connections, no deadline for headers and none for writing, and accepts again at once
//! when accepting fails. This one drives hyper directly:
//!
//! - **Connections** are limited in all and per address. When all are taken, a new one replaces the one that has waited the
//!   longest without a request. The default follows from how many descriptors the process may have.
//! - **Waiting for a request** is limited: before the first one, and between two. The time includes that of the header, so a
//!   header that never ends does not help.
//! - **Answers that are not taken** are given up: their body is dropped, with all it holds, when the client has taken nothing
//!   of it for a while. A socket that takes nothing is closed.
//! - **HTTP/2 streams** per connection, and the bytes buffered for each, are limited.
//! - **Accepting** pauses when it fails, instead of trying again as fast as it can.
//!
//! How long a handler may take, and how long the body of a request, is the endpoint's own business.

mod answer;
mod connection;
mod connections;
mod framing;
pub mod host;
mod limits;
mod listen;
mod private;
mod progress;
mod unread;

pub use connections::Counts;
pub use limits::{Limits, raise_descriptors};
pub use listen::Server;
pub use private::Private;
