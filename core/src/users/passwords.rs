//! Password hashes: Argon2id with the parameters that OWASP asks for (19 MiB, two passes, one lane).
//!
//! Hashing takes tens of milliseconds and 19 MiB, so it runs beside the async threads, few at a time, and never while a
//! transaction is open.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use super::rules::Password;
use crate::{Error, Result};

/// Hashes that are computed at once.
const PERMITS: usize = 2;

/// A hash of no password, with the same parameters: signing in with an unknown address takes as long as with a known.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM";

/// Hashes and checks passwords. Cheap to clone; clones share the limit.
#[derive(Clone, Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(PERMITS)) }
    }
}

impl Passwords {
    /// The hash to store for a password (PHC string).
    pub async fn hash(&self, password: &Password) -> Result<String> {
        let password = password.clone();
        self.run(move || {
            let hash = argon2()?.hash_password(password.expose().as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| Error::message(format!("could not hash: {error}")))
        })
        .await
    }

    /// Whether `password` is the one of `hash`. Takes as long without a hash, and is false then.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let (password, known) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(DUMMY).to_owned();
        self.run(move || {
            let hash = PasswordHash::new(&hash)
                .map_err(|error| Error::message(format!("a stored password hash is not readable: {error}")))?;
            Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|error| Error::message(error.to_string()))?;
        tokio::task::spawn_blocking(move || {
            // Kept until the work is done, also when the request is gone.
            let _permit = permit;
            work()
        })
        .await?
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(19_456, 2, 1, None).map_err(|error| Error::message(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_of_its_password_only() {
        let passwords = Passwords::default();
        let password = Password::parse("correct horse").unwrap();
        let (one, two) = (passwords.hash(&password).await.unwrap(), passwords.hash(&password).await.unwrap());
        assert_ne!(one, two, "salted");
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(passwords.verify("correct horse", Some(&one)).await.unwrap());
        assert!(!passwords.verify("Correct horse", Some(&one)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(passwords.verify("x", Some("no hash")).await.is_err());
    }

    #[test]
    fn the_dummy_has_the_same_parameters() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        assert!(DUMMY.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), 32);
    }
}
