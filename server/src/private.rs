//! What protects the port for operators.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::{StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};

use crate::host::Hosts;

/// An endpoint for operators: it is asked by address or by a name that was configured, and by who has the token, if there is
/// one. Health checks need no token.
#[derive(Debug)]
pub struct Private<E> {
    inner: E,
    hosts: Hosts,
    token: Option<String>,
}

impl<E> Private<E> {
    /// Protects `inner`. `token` is the password of HTTP's Basic scheme, with any user name, or the token of Bearer.
    pub fn new(inner: E, hosts: Hosts, token: Option<String>) -> Self {
        Self { inner, hosts, token }
    }

    fn is_allowed(&self, request: &Request) -> bool {
        let Some(token) = &self.token else { return true };
        request.uri().path().starts_with("/health/") || sent(request).is_some_and(|sent| is_equal(&sent, token))
    }
}

impl<E: Endpoint> Endpoint for Private<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if self.hosts.check(&request).is_err() {
            let text = "Use an address, localhost or a name that CAIRN_OPS_HOSTS lists as the host.\n";
            return Ok(text.with_status(StatusCode::MISDIRECTED_REQUEST).into_response());
        }
        if !self.is_allowed(&request) {
            let text = "Send CAIRN_OPS_TOKEN as a Bearer token or as the password.\n";
            let response = text.with_status(StatusCode::UNAUTHORIZED);
            return Ok(response.with_header(header::WWW_AUTHENTICATE, "Basic realm=\"ops\"").into_response());
        }
        Ok(self.inner.get_response(request).await)
    }
}

/// The token that came with a request.
fn sent(request: &Request) -> Option<String> {
    let (scheme, value) = request.header(header::AUTHORIZATION)?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(value.trim()).ok())??;
    String::from_utf8(decoded).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

/// Compares in a time that depends on the lengths only.
fn is_equal(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use poem::endpoint::make_sync;

    use super::*;

    async fn status(token: Option<&str>, path: &str, host: &str, authorization: Option<&str>) -> u16 {
        let inner = make_sync(|_| "inside");
        let private = Private::new(inner, Hosts::private(&[]), token.map(str::to_owned));
        let mut request = Request::builder().uri_str(path).header(header::HOST, host);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        private.get_response(request.finish()).await.status().as_u16()
    }

    #[tokio::test]
    async fn a_rebound_name_is_refused() {
        assert_eq!(status(None, "/metrics", "127.0.0.1:9090", None).await, 200);
        assert_eq!(status(None, "/metrics", "evil.test", None).await, 421);
        assert_eq!(status(None, "/health/live", "evil.test", None).await, 421);
    }

    #[tokio::test]
    async fn a_token_is_required_if_there_is_one() {
        let token = Some("long-enough-token");
        // "any:long-enough-token"
        let basic = "Basic YW55OmxvbmctZW5vdWdoLXRva2Vu";
        for right in ["Bearer long-enough-token", "bearer  long-enough-token", basic] {
            assert_eq!(status(token, "/", "localhost", Some(right)).await, 200, "{right}");
        }
        for wrong in ["Bearer long-enough-tokem", "Bearer long-enough-token1", "Basic !!", "Basic", "Bearer ", ""] {
            assert_eq!(status(token, "/", "localhost", Some(wrong)).await, 401, "{wrong}");
        }
        assert_eq!(status(token, "/metrics", "localhost", None).await, 401);
        assert_eq!(status(token, "/health/ready", "localhost", None).await, 200);
    }
}
