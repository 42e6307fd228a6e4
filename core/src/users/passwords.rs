//! Password hashes: Argon2id with the parameters that OWASP asks for (19 MiB, two passes, one lane).
//!
//! Hashing takes tens of milliseconds and 19 MiB, so it runs beside the async threads, few at a time, and never while a
//! transaction is open. It has threads of its own that keep their 19 MiB: given back and taken anew for each hash, the
//! allocator held hundreds of megabytes for ever after a few sign-ins.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::oneshot;

use super::rules::Password;
use crate::{Error, Result};

/// Memory of one hash, in KiB (one block each), and its passes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// Hashes that this process computes at once.
const THREADS: usize = 2;

type Work = Box<dyn FnOnce(&mut [Block]) + Send>;

/// The threads that hash, for the whole process.
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

/// How hashes begin that are made here.
const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// A hash of no password, with the same parameters: signing in with an unknown address takes as long as with a known.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQgaGVyZQ$w2mHDsFUV8VwmvKRyPkRQ/4Z7ThR8Dn2W7s2wkTUAFM";

/// Hashes and checks passwords.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passwords {}

impl Passwords {
    /// The hash to store for a password (PHC string).
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

    /// Whether `password` is the one of `hash`. Takes as long without a hash, and is false then.
    pub async fn verify(self, password: &str, hash: Option<&str>) -> Result<bool> {
        let (password, known) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(DUMMY).to_owned();
        self.run(move |memory| {
            let unreadable = || Error::message("a stored password hash is not readable");
            let stored = PasswordHash::new(&hash).map_err(|_| unreadable())?;
            if !hash.starts_with(PREFIX) {
                // Other parameters, from another time or place.
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
            // A panic must not take the thread along; nobody waits any more when the request is gone.
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
        // Made by the library itself, with its own parameters.
        let other = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        assert!(passwords.verify("correct horse", Some(&other)).await.unwrap());
        assert!(!passwords.verify("wrong horse", Some(&other)).await.unwrap());
        // And the library agrees with ours.
        assert!(Argon2::default().verify_password(b"correct horse", &PasswordHash::new(&one).unwrap()).is_ok());
    }

    #[test]
    fn the_dummy_has_the_same_parameters() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        assert!(DUMMY.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), 32);
    }
}
