//! Hashes that come from elsewhere: by bcrypt, or by Argon2 of any kind, version and parameters that are affordable.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, MIN_SALT_LEN, Params, Version};

/// What a hash may cost at most. One that demands more is not computed, because whoever can write a hash could stop all sign-ins
/// with it.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 20;
const MAX_LANES: u32 = 16;
const MAX_BCRYPT_COST: u32 = 14;
/// What bcrypt itself demands.
const MIN_BCRYPT_COST: u32 = 4;

/// The prefixes of bcrypt. `$2x$` marks hashes of a program with an error.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];

/// A hash that can be compared with a password.
pub(crate) enum StoredHash<'a> {
    Argon2(Box<Argon2<'static>>, Salt, Output),
    Bcrypt(&'a str),
}

impl<'a> StoredHash<'a> {
    /// Reads a hash. `None` if the text is not a hash, or one that costs too much: nobody can sign in with it.
    pub(crate) fn parse(hash: &'a str) -> Option<Self> {
        if hash.starts_with("$argon2") { Self::argon2(hash) } else { Self::bcrypt(hash) }
    }

    fn argon2(hash: &str) -> Option<Self> {
        let stored = PasswordHash::new(hash).ok()?;
        let algorithm = Algorithm::new(stored.algorithm.as_str()).ok()?;
        // The first version did not name itself.
        let version = stored.version.map_or(Ok(Version::V0x10), Version::try_from).ok()?;
        let params = Params::try_from(&stored).ok()?;
        let is_affordable =
            params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES && params.p_cost() <= MAX_LANES;
        let (salt, output) = stored.salt.zip(stored.hash)?;
        let is_readable = is_affordable && salt.len() >= MIN_SALT_LEN;
        is_readable.then(|| Self::Argon2(Box::new(Argon2::new(algorithm, version, params)), salt, output))
    }

    fn bcrypt(hash: &'a str) -> Option<Self> {
        let parts: bcrypt::HashParts = hash.parse().ok()?;
        let is_known = BCRYPT.iter().any(|prefix| hash.starts_with(prefix));
        let is_affordable = (MIN_BCRYPT_COST..=MAX_BCRYPT_COST).contains(&parts.get_cost());
        (is_known && is_affordable).then_some(Self::Bcrypt(hash))
    }

    /// Whether the password matches; `None` if it cannot be computed. bcrypt sees only the first 72 bytes of a password.
    pub(super) fn matches(&self, password: &str) -> Option<bool> {
        match self {
            Self::Argon2(argon2, salt, expected) => {
                let mut computed = vec![0; expected.as_bytes().len()];
                argon2.hash_password_into(password.as_bytes(), salt, &mut computed).ok()?;
                // Compares in constant time.
                Some(Output::new(&computed).ok()? == *expected)
            }
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).ok(),
        }
    }
}
