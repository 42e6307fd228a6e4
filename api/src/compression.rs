//! Compression of responses with gzip, which every client understands.
//!
//! Responses are compressed as a whole, so streams are not: their pieces should arrive when they are sent.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use poem::http::{HeaderMap, HeaderValue, header};
use poem::{Body, Response};

use crate::answers::TextTag;

/// What is shorter fits into one packet anyway, in bytes.
const MIN_LENGTH: usize = 1024;
/// What is longer is compressed on a thread of its own, in bytes: other requests should not wait for it.
const MAX_INLINE: usize = 256 * 1024;
/// The content types of responses that are whole before they are sent.
const WHOLE: [&str; 2] = ["application/json", "application/problem+json"];

/// The compressed form of a response that is always the same.
#[derive(Clone, Copy)]
pub(crate) struct Gzipped(pub(crate) &'static [u8]);

/// Compresses as much as possible, for what is compressed once and sent often.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    gzip_at(text, Compression::best())
}

fn gzip_at(text: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), level);
    // Writing to memory cannot fail.
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3). Whoever does not say so gets no encoding, because scripts that
/// pass a response on would not expect one.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut anything = false;
    for item in values.flat_map(|value| value.split(',')) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weights = parts.filter_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        let is_accepted = weights.into_iter().all(|weight| weight > 0.0);
        if name.eq_ignore_ascii_case("gzip") {
            return is_accepted;
        }
        anything |= name == "*" && is_accepted;
    }
    anything
}

/// Compresses a response if that is worth it and the client takes it.
pub(crate) async fn compress(accepts_gzip: bool, response: &mut Response) {
    let content_type = response.content_type().unwrap_or_default();
    let is_whole = WHOLE.iter().any(|whole| content_type.starts_with(whole));
    let ready = response.data::<Gzipped>().copied();
    if ready.is_none() && !is_whole {
        return;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let body = response.take_body();
    if !accepts_gzip || body.is_empty() {
        response.set_body(body);
        return;
    }
    let compressed = match ready {
        Some(Gzipped(compressed)) => Body::from(compressed),
        None => match compressed_body(body).await {
            Ok(compressed) => compressed,
            Err(plain) => {
                response.set_body(plain);
                return;
            }
        },
    };
    response.set_body(compressed);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    // Another form of the same content: the tag still names the content, but not these bytes.
    TextTag::weaken(response);
}

/// The compressed form of a body; as an error the body itself, if it is better left as it is.
async fn compressed_body(body: Body) -> Result<Body, Body> {
    let text = match body.into_bytes().await {
        Ok(text) if text.len() >= MIN_LENGTH => text,
        Ok(text) => return Err(Body::from(text)),
        // The connection is aborted, so that no client mistakes a part for the whole.
        Err(error) => return Err(Body::from_bytes_stream(stream::iter([Err::<Vec<u8>, _>(io::Error::other(error))]))),
    };
    if text.len() <= MAX_INLINE {
        return Ok(Body::from(gzip_at(&text, Compression::fast())));
    }
    let work = {
        let text = text.clone();
        move || gzip_at(&text, Compression::fast())
    };
    tokio::task::spawn_blocking(work).await.map(Body::from).map_err(|_| Body::from(text))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    async fn compressed(content_type: &str, body: impl Into<Body>, accepts: bool) -> (Response, Vec<u8>) {
        let mut response = Response::builder().content_type(content_type).body(body);
        TextTag::of(b"text").put(&mut response);
        compress(accepts, &mut response).await;
        let body = response.take_body().into_vec().await.unwrap();
        (response, body)
    }

    #[tokio::test]
    async fn long_json_is_compressed_and_its_tag_is_weak() {
        for length in [MIN_LENGTH, MAX_INLINE + 1] {
            let text = "cairn ".repeat(length / 6 + 1);
            let (response, body) = compressed("application/json; charset=utf-8", text.clone(), true).await;
            assert_eq!(response.header("content-encoding"), Some("gzip"));
            assert_eq!(response.header("vary"), Some("Accept-Encoding"));
            assert!(response.header("etag").unwrap().starts_with("W/\""));
            assert!(body.len() < text.len() / 10);
            let mut plain = String::new();
            GzDecoder::new(&body[..]).read_to_string(&mut plain).unwrap();
            assert_eq!(plain, text);
        }
    }

    #[tokio::test]
    async fn other_responses_stay_as_they_are() {
        let long = "cairn ".repeat(MIN_LENGTH);
        for (content_type, text, accepts, varies) in [
            ("application/json", "{}", true, true),
            ("application/json", long.as_str(), false, true),
            ("application/json", "", true, true),
            ("text/event-stream", long.as_str(), true, false),
            ("application/x-ndjson", long.as_str(), true, false),
        ] {
            let (response, body) = compressed(content_type, text.to_owned(), accepts).await;
            assert_eq!(body, text.as_bytes(), "{content_type}");
            assert_eq!(response.header("content-encoding"), None);
            assert_eq!(response.header("vary").is_some(), varies, "{content_type}");
            assert!(response.header("etag").unwrap().starts_with('"'));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_stays_broken() {
        let pieces = stream::iter([Ok("cairn ".repeat(MIN_LENGTH)), Err(io::Error::other("lost"))]);
        let mut response = Response::builder().content_type("application/json").body(Body::from_bytes_stream(pieces));
        compress(true, &mut response).await;
        assert!(response.take_body().into_vec().await.is_err());
    }

    #[test]
    fn clients_say_whether_they_take_gzip() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        for value in ["gzip", "br, GZIP;q=0.5", "*", "identity, *;q=0.1", "deflate,gzip"] {
            assert!(accepts(value), "{value}");
        }
        for value in ["", "br", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "identity"] {
            assert!(!accepts(value), "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
