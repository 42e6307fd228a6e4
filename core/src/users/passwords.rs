//! Password hashes: Argon2id with the parameters that OWASP recommends (19 MiB, two passes, one lane).
//!
//! Hashing takes tens of milliseconds and 19 MiB, so it runs outside the async threads, a few hashes at a time, and never
//! while a transaction is open. How many may wait is bounded (`hash_queue`).
//!
//! Accounts that come from another system may have a hash by bcrypt, or by Argon2 with other parameters. Such a hash is replaced
//! when its owner has signed in, the only moment at which the password is known.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::hash_queue::{HashQueue, Memory};
pub use super::hash_queue::{HashStats, Overloaded};
use super::password_rules::{Password, normalize};
use super::stored_hash::StoredHash;
use crate::refusal::Rejected;
use crate::{Error, Result};

/// The memory of one hash in KiB (a block is one KiB), and the number of passes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// How many hashes a process computes at the same time.
const THREADS: usize = 2;

/// The queue of this process.
static HASHING: LazyLock<Arc<HashQueue>> = LazyLock::new(|| HashQueue::new(THREADS));

/// The prefix of all hashes that are created here.
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// The length of their output: 32 bytes in base64.
const OUTPUT_LETTERS: usize = 43;

/// A hash with the same parameters that matches no password. It makes signing in with an unknown address take as long as
/// with a known one.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM";

/// The result of checking a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It matches.
    Right,
    /// It matches a hash that should be replaced, because it was computed otherwise than today.
    Outdated,
    /// It does not match, or there is no hash.
    Wrong,
    /// What is stored is no hash, or one that would cost too much. Nobody can sign in with it.
    Unreadable,
}

impl Verdict {
    /// Whether the password matches.
    pub fn is_match(self) -> bool {
        matches!(self, Self::Right | Self::Outdated)
    }
}

/// Hashes and checks passwords. It is cheap to clone, and all share the threads of the process.
#[derive(Clone, Debug)]
pub struct Passwords {
    queue: Arc<HashQueue>,
    is_patient: bool,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { queue: Arc::clone(&HASHING), is_patient: false }
    }
}

impl Passwords {
    /// For a caller who waits however long the queue is, such as the command line.
    pub fn patient() -> Self {
        Self { is_patient: true, ..Self::default() }
    }

    /// With threads of its own. Without any, nothing is ever hashed, so that tests see what happens when the queue is full.
    pub fn with_threads(threads: usize) -> Self {
        Self { queue: HashQueue::new(threads), is_patient: false }
    }

    /// How long the queue is, and what it has refused.
    pub fn stats(&self) -> HashStats {
        self.queue.stats()
    }

    /// Hashes a new password. Returns a PHC string to store.
    pub async fn hash(&self, password: &Password) -> Result<String, Rejected<Overloaded>> {
        self.hash_text(password.expose().to_owned()).await
    }

    /// Hashes a password that was verified, whether or not it would be accepted as a new one.
    pub async fn rehash(&self, password: &str) -> Result<String, Rejected<Overloaded>> {
        self.hash_text(normalize(password)).await
    }

    async fn hash_text(&self, password: String) -> Result<String, Rejected<Overloaded>> {
        self.run(move |memory| {
            let salt: [u8; 16] = rand::random();
            let hash = argon2id(&password, &salt, memory)?;
            let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
            Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}"))
        })
        .await
    }

    /// Whether `password` matches `hash`. Without a hash that can be read it takes as long as with one that was created here.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<Verdict, Rejected<Overloaded>> {
        let (password, hash) = (normalize(password), hash.map(str::to_owned));
        self.run(move |memory| {
            let matches = match hash.as_deref() {
                None => None,
                Some(hash) if is_current(hash) => matches_current(&password, hash, memory),
                Some(hash) => StoredHash::parse(hash).and_then(|stored| stored.matches(&password)),
            };
            let Some(matches) = matches else {
                matches_current(&password, DUMMY, memory);
                return Ok(if hash.is_none() { Verdict::Wrong } else { Verdict::Unreadable });
            };
            let is_current = hash.as_deref().is_some_and(is_current);
            Ok(match (matches, is_current) {
                (false, _) => Verdict::Wrong,
                (true, true) => Verdict::Right,
                (true, false) => Verdict::Outdated,
            })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T> + Send + 'static,
    ) -> Result<T, Rejected<Overloaded>> {
        let result = self.queue.push(self.is_patient, work).map_err(Rejected::Refused)?;
        Ok(result.await.map_err(|_| Error::message("the hashing threads have ended"))??)
    }
}

/// Whether a hash is as those that are created here. Others may have the same parameters and another length.
fn is_current(hash: &str) -> bool {
    hash.starts_with(PREFIX) && hash.rsplit('$').next().is_some_and(|output| output.len() == OUTPUT_LETTERS)
}

/// Whether the password matches a hash that was created here; `None` if the hash cannot be read.
fn matches_current(password: &str, hash: &str, memory: &mut Memory) -> Option<bool> {
    let stored = PasswordHash::new(hash).ok()?;
    let (salt, expected) = stored.salt.zip(stored.hash)?;
    let computed = Output::new(&argon2id(password, &salt, memory).ok()?).ok()?;
    // Compares in constant time.
    Some(computed == expected)
}

fn argon2id(password: &str, salt: &[u8], memory: &mut Memory) -> Result<[u8; 32]> {
    let failed = |error: argon2::Error| Error::message(format!("could not hash: {error}"));
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(failed)?;
    memory.resize(MEMORY_KIB as usize, Block::default());
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, memory)
        .map_err(failed)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    async fn verify(password: &str, hash: &str) -> Verdict {
        Passwords::patient().verify(password, Some(hash)).await.unwrap()
    }

    #[tokio::test]
    async fn a_hash_matches_its_own_password_only() {
        let passwords = Passwords::patient();
        let password = Password::parse("correct horse").unwrap();
        let (one, two) = (passwords.hash(&password).await.unwrap(), passwords.hash(&password).await.unwrap());
        assert_ne!(one, two, "hashes are salted");
        assert!(one.starts_with(PREFIX), "{one}");
        assert_eq!(verify("correct horse", &one).await, Verdict::Right);
        assert_eq!(verify("Correct horse", &one).await, Verdict::Wrong);
        assert_eq!(passwords.verify("correct horse", None).await.unwrap(), Verdict::Wrong);
        // The library accepts a hash that was created here.
        assert!(Argon2::default().verify_password(b"correct horse", &PasswordHash::new(&one).unwrap()).is_ok());
    }

    #[tokio::test]
    async fn a_password_matches_however_its_letters_are_composed() {
        let passwords = Passwords::patient();
        let hash = passwords.hash(&Password::parse("мой cafe\u{301} дом").unwrap()).await.unwrap();
        assert_eq!(verify("мой caf\u{e9} дом", &hash).await, Verdict::Right);
        let hash = passwords.rehash("мои\u{306}").await.unwrap();
        assert_eq!(verify("мой", &hash).await, Verdict::Right);
    }

    #[tokio::test]
    async fn hashes_of_other_systems_are_verified_and_outdated() {
        for (algorithm, version, memory) in [
            (Algorithm::Argon2id, Version::V0x13, 4096),
            (Algorithm::Argon2i, Version::V0x13, 1024),
            (Algorithm::Argon2d, Version::V0x10, 1024),
        ] {
            let params = Params::new(memory, 3, 1, Some(24)).unwrap();
            let argon2 = Argon2::new(algorithm, version, params);
            let hash = argon2.hash_password(b"correct horse").unwrap().to_string();
            assert_eq!(verify("correct horse", &hash).await, Verdict::Outdated, "{hash}");
            assert_eq!(verify("wrong horse", &hash).await, Verdict::Wrong, "{hash}");
        }
        for length in [16, 64] {
            let params = Params::new(MEMORY_KIB, PASSES, 1, Some(length)).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let hash = argon2.hash_password(b"correct horse").unwrap().to_string();
            assert!(hash.starts_with(PREFIX), "{hash}");
            assert_eq!(verify("correct horse", &hash).await, Verdict::Outdated, "{hash}");
        }
        // By the reference implementation, version 1.0, which did not name its version.
        let hash = "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
        assert_eq!(verify("password", hash).await, Verdict::Outdated);
        for prefix in ["2a", "2b", "2y"] {
            let hash = bcrypt::hash("correct horse", 4).unwrap().replacen("2b", prefix, 1);
            assert_eq!(verify("correct horse", &hash).await, Verdict::Outdated, "{hash}");
            assert_eq!(verify("wrong horse", &hash).await, Verdict::Wrong, "{hash}");
        }
        // By the library for Python.
        let hash = "$2b$04$mr/6q9kPg7ecDToCaacj3e6JpFrBSnfjZ4vWj7fZwz.k2OJgvZYc6";
        assert_eq!(verify("старый пароль", hash).await, Verdict::Outdated);
    }

    #[tokio::test]
    async fn what_is_no_hash_or_costs_too_much_is_unreadable() {
        let bcrypt = bcrypt::hash("correct horse", 4).unwrap();
        for hash in [
            "",
            "no hash",
            "$argon2id$v=19$m=19456,t=2,p=1$",
            "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ",
            "$argon2id$v=19$m=524288,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM",
            "$argon2id$v=19$m=19456,t=21,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM",
            "$argon2id$v=19$m=19456,t=2,p=17$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM",
            "$argon2id$v=7$m=4096,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM",
            "$argon2x$v=19$m=4096,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM",
            &bcrypt.replacen("$04$", "$15$", 1),
            &bcrypt.replacen("$2b$", "$2x$", 1),
            &bcrypt[..59],
        ] {
            assert_eq!(verify("correct horse", hash).await, Verdict::Unreadable, "{hash}");
        }
    }

    #[test]
    fn the_dummy_has_the_same_parameters() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        assert!(DUMMY.starts_with(PREFIX));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), 32);
    }
}
