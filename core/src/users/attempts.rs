//! How often passwords are guessed, counted for everybody who guesses and everything that is guessed.
//!
//! An attempt is counted before the password is checked, so that any number of attempts at once, on any number of processes,
//! check as many passwords as one after the other. A wrong password leaves it counted, a right one takes it back.
//!
//! | counter of | free failures | one is forgotten in | filled by |
//! |---|---|---|---|
//! | an account | 4 | an hour | sign-ins from devices that are not known |
//! | an address (a /64 of IPv6) | 29 | 30 s | the same, for whatever account |
//! | a known device | 4 | an hour | sign-ins from it, which fill nothing else |
//! | a signed-in user | 4 | an hour | operations that ask for the password again |
//!
//! With each failure beyond, the next attempt has to wait twice as long, up to a quarter of an hour. An attempt that comes
//! earlier is refused, and not counted anywhere. So an account can be guessed at four times an hour, and its owner gets in
//! from a known device, or with a reset link.

use std::fmt;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::devices::Device;
use super::rules::Email;
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::actor::network;
use crate::config::Secret;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::Rejected;

/// Failures of an account, a device or a signed-in user.
const PERSONAL: Rule = Rule { free: 5, forgotten_in: 3600.0 };

/// Failures from an address, over all accounts.
const ADDRESS: Rule = Rule { free: 30, forgotten_in: 30.0 };

/// How many failures beyond the free ones count, so that the waits do not outlast the guessing by much.
const BEYOND: i32 = 10;

/// What a counter allows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    /// The failure that is the first to make the next attempt wait.
    free: i32,
    /// The time in which one failure is forgotten, in seconds.
    forgotten_in: f64,
}

/// Whose password is tried, and how.
#[derive(Clone, Copy, Debug)]
pub enum Guess<'a> {
    /// A sign-in with an address, whether there is an account or not.
    SignIn {
        /// The address of the account.
        email: &'a Email,
        /// The address of the client; `None` if it is not known.
        ip: Option<IpAddr>,
    },
    /// A sign-in on a device that is known for the account.
    KnownDevice(&'a Device),
    /// A signed-in user's own password.
    Own(Uuid),
}

/// Names the counters. Cheap to clone.
#[derive(Clone)]
pub struct Counters {
    key: [u8; 32],
}

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counter {
    subject: [u8; 16],
    rule: Rule,
}

/// An attempt that has been counted and whose outcome is not known yet.
#[derive(Debug)]
#[must_use = "an attempt stays counted as a failure unless it succeeds"]
pub struct Attempt {
    address: Option<Counter>,
    personal: Counter,
    /// Whether this failure is the one that makes the next attempt at the account wait.
    locks: bool,
}

/// The attempt comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooEarly {
    /// After how many seconds the next attempt will not be, at least 1.
    pub retry_after: u64,
    /// Whether it is because of other accounts that were tried from the same address.
    pub is_address: bool,
}

/// Without the key.
impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counters")
    }
}

impl Counters {
    /// Counters whose names can only be computed with `secret`.
    pub fn new(secret: &Secret) -> Self {
        let key = Sha256::new().chain_update("cairn: attempts at passwords\0").chain_update(secret.expose());
        Self { key: key.finalize().into() }
    }

    fn counter(&self, kind: &str, of: &[u8], rule: Rule) -> Counter {
        let hash =
            Sha256::new().chain_update(self.key).chain_update(kind).chain_update([0]).chain_update(of).finalize();
        let mut subject = [0; 16];
        subject.copy_from_slice(&hash[..16]);
        Counter { subject, rule }
    }

    fn account(&self, email_key: &str) -> Counter {
        self.counter("account", email_key.as_bytes(), PERSONAL)
    }

    /// Counts an attempt. Refused if it comes too early; then the transaction must not be committed, because one of two
    /// counters may have counted it.
    ///
    /// Addresses come before accounts, so that no two attempts wait for each other.
    pub async fn begin(&self, tx: &mut Tx, guess: Guess<'_>) -> Result<Attempt, Rejected<TooEarly>> {
        let now = tx.now();
        let (address, personal) = match guess {
            Guess::SignIn { email, ip } => {
                let address = ip.map_or_else(String::new, |ip| network(ip).to_string());
                (Some(self.counter("address", address.as_bytes(), ADDRESS)), self.account(email.key()))
            }
            Guess::KnownDevice(device) => (None, self.counter("device", device.hash(), PERSONAL)),
            Guess::Own(user_id) => (None, self.counter("user", user_id.as_bytes(), PERSONAL)),
        };
        if let Some(address) = address {
            take(tx, address, now, true).await?;
        }
        let failures = take(tx, personal, now, false).await?;
        let locks = failures == personal.rule.free;
        Ok(Attempt { address, personal, locks })
    }

    /// Forgets the failures of an account, whose owner has got in otherwise.
    pub async fn forget(&self, tx: &mut Tx, email_key: &str) -> Result<()> {
        remove(tx, self.account(email_key)).await
    }
}

impl Attempt {
    /// The password was right: whoever knows it may be wrong a few times again. Attempts from the address at other accounts
    /// stay counted.
    pub async fn succeed(self, connection: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
        if let Some(address) = self.address {
            take_back(connection, address, now).await?;
        }
        remove(connection, self.personal).await
    }

    /// No password was checked: the attempt counts nowhere.
    pub async fn undo(self, connection: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
        if let Some(address) = self.address {
            take_back(connection, address, now).await?;
        }
        take_back(connection, self.personal, now).await
    }

    /// The password was wrong, for the account that is the target if there is one. Records it for the admins. Returns whether
    /// the next attempt has to wait from now on.
    pub fn fail(self, tx: &mut Tx, account: Option<&Target>) -> Result<bool> {
        tx.record(Action::new(Noun::User, Verb::SignInFailed).target(account.cloned()))?;
        if self.locks {
            tx.record(Action::new(Noun::User, Verb::Locked).target(account.cloned()))?;
        }
        Ok(self.locks)
    }
}

/// Counts an attempt, unless it comes too early. While no wait is due, any time is late enough: of attempts at once, one that began
/// earlier may be counted later, and clocks of processes differ. Returns the failures with it.
async fn take(
    connection: &mut PgConnection,
    counter: Counter,
    now: DateTime<Utc>,
    is_address: bool,
) -> Result<i32, Rejected<TooEarly>> {
    let Counter { subject, rule } = counter;
    let failures = sqlx::query_scalar!(
        "INSERT INTO sign_in_attempts AS a (subject, failures, counted_at, free_at, forgotten_at)
         VALUES ($1, 1, $2, '-infinity', $2::timestamptz + make_interval(secs => $4))
         ON CONFLICT ON CONSTRAINT sign_in_attempts_pkey DO UPDATE SET
             failures = least($5::integer, greatest(0, a.failures - attempts_forgotten(a.counted_at, $2, $4)) + 1),
             counted_at = a.counted_at + make_interval(secs => attempts_forgotten(a.counted_at, $2, $4) * $4),
             free_at = CASE
                 WHEN greatest(0, a.failures - attempts_forgotten(a.counted_at, $2, $4)) + 1 < $3 THEN '-infinity'
                 ELSE $2::timestamptz + attempt_wait(
                     least($5::integer, greatest(0, a.failures - attempts_forgotten(a.counted_at, $2, $4)) + 1), $3)
             END,
             forgotten_at = $2::timestamptz + make_interval(secs => $5::integer * $4::float8)
         WHERE a.free_at <= $2
         RETURNING a.failures",
        &subject,
        now,
        rule.free,
        rule.forgotten_in,
        rule.free + BEYOND
    );
    if let Some(failures) = failures.fetch_optional(&mut *connection).await? {
        return Ok(failures);
    }
    let free_at = sqlx::query_scalar!("SELECT free_at FROM sign_in_attempts WHERE subject = $1", &subject);
    let free_at = free_at.fetch_optional(connection).await?.unwrap_or(now);
    // Rounded up, so that the wait is certainly over by then.
    let retry_after = (free_at - now).num_milliseconds().max(1).unsigned_abs().div_ceil(1000);
    Err(Rejected::Refused(TooEarly { retry_after, is_address }))
}

/// Takes an attempt back that turned out to be no failure.
async fn take_back(connection: &mut PgConnection, counter: Counter, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "UPDATE sign_in_attempts SET failures = greatest(0, failures - 1), free_at = least(free_at, $2) WHERE subject = $1",
        &counter.subject,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(connection: &mut PgConnection, counter: Counter) -> Result<()> {
    sqlx::query!("DELETE FROM sign_in_attempts WHERE subject = $1", &counter.subject).execute(connection).await?;
    Ok(())
}
