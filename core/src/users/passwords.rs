//! Password hashes: Argon2id with the parameters that OWASP recommends (19 MiB, two passes, one lane).
//!
//! Hashing takes tens of milliseconds and 19 MiB, so it runs outside the async threads, a few hashes at a time, and never
//! while a transaction is open. Its threads keep their 19 MiB, because when the memory was freed and allocated for each
//! hash, the allocator permanently held hundreds of megabytes after a few sign-ins.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::oneshot;

use super::rules::Password;
use crate::{Error, Result};

/// The memory of one hash in KiB (a block is one KiB), and the number of passes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// How many hashes a process computes at the same time.
const THREADS: usize = 2;

type Work = Box<dyn FnOnce(&mut [Block]) + Send>;

/// Sends work to the hashing threads of this process.
static HASHING: LazyLock<mpsc::Sender<Work>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Work>();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..THREADS {
        let receiver = receiver.clone();
        std::thread::spawn(move || {
            let mut memory = Vec::new();
            loop {
                let work = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(work) = work else { return };
                memory.resize(MEMORY_KIB as usize, Block::default());
                work(&mut memory);
            }
        });
    }
    sender
});

/// The prefix of all hashes that are created here.
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// A hash with the same parameters that matches no password. It makes signing in with an unknown address take as long as
/// with a known one.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM";

/// Hashes and checks passwords.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passwords {}

impl Passwords {
    /// Hashes a password. Returns a PHC string to store.
    pub async fn hash(self, password: &Password) -> Result<String> {
        let password = password.clone();
        self.run(move |memory| {
            let salt: [u8; 16] = rand::random();
            let hash = argon2id(password.expose(), &salt, memory)?;
            let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
            Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${hash}"))
        })
        .await
    }

    /// Whether `password` matches `hash`. Without a hash it takes equally long and returns false.
    pub async fn verify(self, password: &str, hash: Option<&str>) -> Result<bool> {
        let (password, known) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(DUMMY).to_owned();
        self.run(move |memory| {
            let unreadable = || Error::message("a stored password hash is malformed");
            let stored = PasswordHash::new(&hash).map_err(|_| unreadable())?;
            if !hash.starts_with(PREFIX) {
                // The hash was created with other parameters, by an earlier version or another program.
                let params = Params::try_from(&stored).map_err(|_| unreadable())?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                return Ok(argon2.verify_password(password.as_bytes(), &stored).is_ok() && known);
            }
            let (salt, expected) = stored.salt.zip(stored.hash).ok_or_else(unreadable)?;
            let computed = Output::new(&argon2id(&password, &salt, memory)?).map_err(|_| unreadable())?;
            // Compares in constant time.
            Ok(computed == expected && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(self, work: impl FnOnce(&mut [Block]) -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, result) = oneshot::channel();
        let work = Box::new(move |memory: &mut [Block]| {
            // A panic must not end the thread. Sending fails if the request was cancelled meanwhile, which is fine.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(memory)));
            let _ = reply.send(done.unwrap_or_else(|_| Err(Error::message("hashing panicked"))));
        });
        HASHING.send(work).map_err(|_| Error::message("the hashing threads have ended"))?;
        result.await.map_err(|_| Error::message("the hashing threads have ended"))?
    }
}

fn argon2id(password: &str, salt: &[u8], memory: &mut [Block]) -> Result<[u8; 32]> {
    let failed = |error: argon2::Error| Error::message(format!("could not hash: {error}"));
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(failed)?;
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, memory)
        .map_err(failed)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;

    use super::*;

    #[tokio::test]
    async fn a_hash_matches_its_own_password_only() {
        let passwords = Passwords::default();
        let password = Password::parse("correct horse").unwrap();
        let (one, two) = (passwords.hash(&password).await.unwrap(), passwords.hash(&password).await.unwrap());
        assert_ne!(one, two, "hashes are salted");
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert!(passwords.verify("correct horse", Some(&one)).await.unwrap());
        assert!(!passwords.verify("Correct horse", Some(&one)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(passwords.verify("x", Some("no hash")).await.is_err());
        // Created by the library itself with its default parameters.
        let other = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        assert!(passwords.verify("correct horse", Some(&other)).await.unwrap());
        assert!(!passwords.verify("wrong horse", Some(&other)).await.unwrap());
        // The library accepts a hash that was created here.
        assert!(Argon2::default().verify_password(b"correct horse", &PasswordHash::new(&one).unwrap()).is_ok());
    }

    #[test]
    fn the_dummy_has_the_same_parameters() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        assert!(DUMMY.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), 32);
    }
}
