//! Answers that are sent as they were recorded.

use std::io;

use crate::answer::After;
use crate::wire::Connection;

/// A response.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The status.
    pub status: u16,
    /// The headers, beside those that delimit the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How many bytes are sent at a time.
    pub write: usize,
}

impl Recorded {
    /// A successful response with this content type; an empty one means that there is none.
    pub fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [("content-type", content_type)].into_iter().filter(|(_, value)| !value.is_empty());
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { status: 200, headers, body: body.into(), write: usize::MAX }
    }

    /// An error with this body.
    pub fn error(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, ..Self::ok("application/json", body) }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn play(&self, connection: &mut Connection) -> io::Result<After> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if self.status == 200 {
            connection.begin(&headers).await?;
            connection.piece(&self.body, Some(self.write)).await?;
            connection.end().await?;
        } else {
            connection.send(self.status, &headers, &self.body).await?;
        }
        Ok(After::KeepOpen)
    }
}
