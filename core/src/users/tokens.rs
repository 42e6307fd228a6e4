//! Access tokens: short-lived JWTs that identify a user and a session.
//!
//! A token contains who signed in, but not what they may do. Role, suspension and revocation are read from the database on
//! every request ([`super::sessions::authenticate`]).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Secret;
use crate::{Error, Result};

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(15);

const ISSUER: &str = "cairn";
const AUDIENCE: &str = "cairn-api";

/// Issues and verifies access tokens. Only HS256 is accepted. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    keys: Arc<(EncodingKey, DecodingKey)>,
}

/// The content of a valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSubject {
    /// Identifies the user.
    pub user_id: Uuid,
    /// Identifies the session.
    pub session_id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// Signs and verifies with `secret` as the key.
    pub fn new(secret: &Secret) -> Self {
        super::hmac::install();
        let key = secret.expose().as_bytes();
        Self { keys: Arc::new((EncodingKey::from_secret(key), DecodingKey::from_secret(key))) }
    }

    /// Issues a token for `subject` that expires [`ACCESS_TOKEN_LIFETIME`] after `now`.
    pub fn issue(&self, subject: TokenSubject, now: DateTime<Utc>) -> Result<String> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user_id,
            sid: subject.session_id,
            iat: now.timestamp(),
            exp: (now + ACCESS_TOKEN_LIFETIME).timestamp(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.keys.0)
            .map_err(|error| Error::message(format!("could not sign an access token: {error}")))
    }

    /// The content of `token`; `None` if it is malformed, forged, meant for another audience, or expired at `now`.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<TokenSubject> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would use the system clock, so the expiry is checked below against `now`.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.keys.1, &validation).ok()?.claims;
        (claims.exp > now.timestamp()).then_some(TokenSubject { user_id: claims.sub, session_id: claims.sid })
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha512;

    use super::*;
    use crate::clock::{Clock, new_id};

    fn tokens(key: char) -> Tokens {
        Tokens::new(&Secret::new(key.to_string().repeat(32)))
    }

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let (tokens, now) = (tokens('a'), Clock::default().now());
        let subject = TokenSubject { user_id: new_id(), session_id: new_id() };
        let token = tokens.issue(subject, now).unwrap();
        assert_eq!(tokens.verify(&token, now), Some(subject));
        assert_eq!(tokens.verify(&token, now + ACCESS_TOKEN_LIFETIME - TimeDelta::seconds(1)), Some(subject));
        assert_eq!(tokens.verify(&token, now + ACCESS_TOKEN_LIFETIME), None);
    }

    #[test]
    fn foreign_and_mangled_tokens_are_refused() {
        let now = Clock::default().now();
        let subject = TokenSubject { user_id: new_id(), session_id: new_id() };
        let token = tokens('b').issue(subject, now).unwrap();
        assert_eq!(tokens('a').verify(&token, now), None);
        for token in ["", "x", "a.b.c", &token[..token.len() - 2], &format!("{token}x")] {
            assert_eq!(tokens('b').verify(token, now), None, "{token}");
        }
    }

    #[test]
    fn another_audience_issuer_or_algorithm_is_refused() {
        let now = Clock::default().now();
        let key = EncodingKey::from_secret("c".repeat(32).as_bytes());
        let claims = |iss: &str, aud: &str| {
            let exp = now.timestamp() + 60;
            serde_json::json!({"iss": iss, "aud": aud, "sub": new_id(), "sid": new_id(), "iat": now.timestamp(), "exp": exp})
        };
        let sign = |claims| jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let tokens = tokens('c');
        assert!(tokens.verify(&sign(claims(ISSUER, AUDIENCE)), now).is_some());
        assert!(tokens.verify(&sign(claims("other", AUDIENCE)), now).is_none());
        assert!(tokens.verify(&sign(claims(ISSUER, "other")), now).is_none());
        // The same claims, correctly signed with another algorithm.
        let token = sign(claims(ISSUER, AUDIENCE));
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS512"}"#);
        let message = format!("{header}.{}", token.split('.').nth(1).unwrap());
        let mut hmac = Hmac::<Sha512>::new_from_slice("c".repeat(32).as_bytes()).unwrap();
        hmac.update(message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
        assert!(tokens.verify(&format!("{message}.{signature}"), now).is_none());
    }
}
