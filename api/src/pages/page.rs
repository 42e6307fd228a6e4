//! An answer that is always the same.

use std::borrow::Cow;

use poem::Response;
use poem::http::{HeaderValue, header};

use crate::answers::TextTag;
use crate::compression::{Gzipped, gzip};

/// The content type of pages.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// Swagger UI and Redoc set styles and draw icons inline, and Redoc searches in a worker of its own.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; worker-src blob:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// An answer that is always the same.
pub(super) struct Page {
    pub(super) path: Cow<'static, str>,
    content_type: &'static str,
    pub(super) body: Vec<u8>,
    gzip: Vec<u8>,
    tag: TextTag,
}

impl Page {
    pub(super) fn new(path: impl Into<Cow<'static, str>>, content_type: &'static str, text: impl Into<String>) -> Self {
        let body = text.into().into_bytes();
        Self { path: path.into(), content_type, gzip: gzip(&body), tag: TextTag::of(&body), body }
    }

    /// The answer, which shares the memory of the page.
    pub(super) fn answer(&'static self) -> Response {
        let mut response = Response::builder().content_type(self.content_type).body(self.body.as_slice());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        self.tag.put(&mut response);
        response.set_data(Gzipped(&self.gzip));
        response
    }
}
