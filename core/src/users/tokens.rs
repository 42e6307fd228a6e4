//! Access tokens: short-lived JWTs that identify a user and a session.
//!
//! A token contains who signed in, but not what they may do. Role, suspension and revocation are read from the database on
//! every request ([`super::sessions::authenticate`]).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::Secret;
use crate::{Error, Result};

/// How long an access token is valid.
pub const ACCESS_TOKEN_LIFETIME: TimeDelta = TimeDelta::minutes(15);

const ISSUER: &str = "cairn";
const AUDIENCE: &str = "cairn-api";

/// Issues and verifies access tokens. Only HS256 is accepted. Cheap to clone.
///
/// A token names its key in the header `kid`. While a key is replaced there are two: the current one signs, and tokens of the
/// previous one are valid until they expire.
#[derive(Clone)]
pub struct Tokens {
    current: Arc<Key>,
    previous: Option<Arc<Key>>,
}

struct Key {
    /// Follows from the key, so that nobody has to name keys.
    id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Key {
    fn new(secret: &Secret) -> Self {
        let key = secret.expose().as_bytes();
        let digest = Sha256::new().chain_update("cairn: id of a key of access tokens\0").chain_update(key).finalize();
        let id = URL_SAFE_NO_PAD.encode(&digest[..9]);
        Self { id, signing: EncodingKey::from_secret(key), verifying: DecodingKey::from_secret(key) }
    }
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
        Self { current: Arc::new(Key::new(secret)), previous: None }
    }

    /// Verifies with the previous key, too.
    #[must_use]
    pub fn with_previous(self, secret: Option<&Secret>) -> Self {
        Self { previous: secret.map(|secret| Arc::new(Key::new(secret))), ..self }
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
        let header = Header { kid: Some(self.current.id.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &self.current.signing)
            .map_err(|error| Error::message(format!("could not sign an access token: {error}")))
    }

    /// The content of `token`; `None` if it is malformed, forged, of an unknown key, meant for another audience, or expired at
    /// `now`.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<TokenSubject> {
        let id = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find(|key| key.id == id)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library would use the system clock, so the expiry is checked below against `now`.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.verifying, &validation).ok()?.claims;
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
        Tokens::new(&secret(key))
    }

    fn secret(key: char) -> Secret {
        Secret::new(key.to_string().repeat(32))
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

    /// The steps of docs/OPERATIONS.md: the new key is known everywhere before any process signs with it.
    #[test]
    fn a_key_is_replaced_while_tokens_of_both_are_valid() {
        let now = Clock::default().now();
        let subject = TokenSubject { user_id: new_id(), session_id: new_id() };
        let old = tokens('a').issue(subject, now).unwrap();
        let rotated = tokens('b').with_previous(Some(&secret('a')));
        let new = rotated.issue(subject, now).unwrap();
        assert_eq!((rotated.verify(&old, now), rotated.verify(&new, now)), (Some(subject), Some(subject)));
        // A process that was not restarted yet does not know the new key.
        assert_eq!(tokens('a').verify(&new, now), None);
        // Once the old key is removed, its tokens are refused.
        assert_eq!((tokens('b').verify(&old, now), tokens('b').verify(&new, now)), (None, Some(subject)));
    }

    #[test]
    fn a_token_names_its_key_and_must_be_signed_with_it() {
        let (now, tokens) = (Clock::default().now(), tokens('b').with_previous(Some(&secret('a'))));
        let subject = TokenSubject { user_id: new_id(), session_id: new_id() };
        let claims = |token: &str| token.split('.').nth(1).unwrap().to_owned();
        let claims = claims(&tokens.issue(subject, now).unwrap());
        let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let sign = |kid: Option<&str>, key: char| {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &claims, &Key::new(&secret(key)).signing).unwrap()
        };
        let ids = ['a', 'b', 'c'].map(|key| Key::new(&secret(key)).id);
        assert_eq!(tokens.verify(&sign(Some(&ids[0]), 'a'), now), Some(subject));
        for (kid, key) in
            [(Some(ids[0].as_str()), 'b'), (Some(&ids[1]), 'a'), (Some(&ids[2]), 'c'), (Some("x"), 'b'), (None, 'b')]
        {
            assert_eq!(tokens.verify(&sign(kid, key), now), None, "{kid:?} {key}");
        }
    }

    #[test]
    fn another_audience_issuer_or_algorithm_is_refused() {
        let now = Clock::default().now();
        let key = EncodingKey::from_secret(secret('c').expose().as_bytes());
        let claims = |iss: &str, aud: &str| {
            let exp = now.timestamp() + 60;
            serde_json::json!({"iss": iss, "aud": aud, "sub": new_id(), "sid": new_id(), "iat": now.timestamp(), "exp": exp})
        };
        let kid = Key::new(&secret('c')).id;
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
        let sign = |claims| jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let tokens = tokens('c');
        assert!(tokens.verify(&sign(claims(ISSUER, AUDIENCE)), now).is_some());
        assert!(tokens.verify(&sign(claims("other", AUDIENCE)), now).is_none());
        assert!(tokens.verify(&sign(claims(ISSUER, "other")), now).is_none());
        // The same claims, correctly signed with another algorithm.
        let token = sign(claims(ISSUER, AUDIENCE));
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"HS512","kid":"{kid}"}}"#));
        let message = format!("{header}.{}", token.split('.').nth(1).unwrap());
        let mut hmac = Hmac::<Sha512>::new_from_slice(secret('c').expose().as_bytes()).unwrap();
        hmac.update(message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
        assert!(tokens.verify(&format!("{message}.{signature}"), now).is_none());
    }
}
