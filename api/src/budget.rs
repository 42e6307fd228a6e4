//! How much one client may ask for: a budget of units for each signed-in user, and for each address of clients that are not,
//! and how many of their requests run at the same time.
//!
//! Budgets are buckets of units that fill with time, in the memory of the process. What is kept is bounded: a client whose
//! bucket is full again is forgotten, and if there are too many others, new ones share one bucket.
//!
//! A client's requests also wait for each other before any of them takes a connection to the database. They run in half as
//! many places as there are connections, so one client's requests never take all of them, however many it sends.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cairn_core::actor::network;
use cairn_core::config::{RateLimit, RateLimits};
use chrono::{DateTime, TimeDelta, Utc};
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::Problem;

/// The maximum number of users, and of addresses, whose buckets are kept: a few megabytes.
const MAX_CLIENTS: usize = 50_000;

/// How long a full table is used before it is searched again for clients to forget.
const SWEEP_INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// The headers, as in draft-ietf-httpapi-ratelimit-headers-10.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// On whose budget a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A signed-in user.
    User(Uuid),
    /// Whoever is not signed in, by their address; `None` if it is not known.
    Address(Option<IpAddr>),
}

/// The budgets of a process. It is cheap to clone, and clones share the budgets.
#[derive(Clone, Debug)]
pub struct Budgets {
    users: Arc<Table>,
    addresses: Arc<Table>,
}

/// The budgets of one kind of client.
#[derive(Debug)]
struct Table {
    /// The name of the policy in headers.
    name: &'static str,
    limit: RateLimit,
    /// How many requests of one client may run at the same time.
    places: usize,
    max_clients: usize,
    /// Keys the hashes, so that nobody can choose addresses that collide.
    hasher: RandomState,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    buckets: HashMap<u64, Bucket>,
    swept_at: DateTime<Utc>,
}

#[derive(Debug)]
struct Bucket {
    units: f64,
    at: DateTime<Utc>,
    in_flight: u32,
    /// The places in which its requests run, while there are any.
    places: Option<Arc<Semaphore>>,
}

/// The admission of a request. It occupies one of the client's requests at the same time until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    table: Arc<Table>,
    key: u64,
    places: Arc<Semaphore>,
    /// What is left.
    pub(crate) quota: Quota,
}

/// Why a request is refused, and what is left.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// After how many seconds it makes sense to try again.
    pub(crate) retry_after: u64,
    pub(crate) quota: Quota,
}

/// What is left of a client's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    policy: &'static str,
    limit: RateLimit,
    remaining: u64,
    /// Seconds until the bucket is full.
    full_in: u64,
}

impl Budgets {
    /// Budgets with these limits, for a process with `connections` to the database.
    pub fn new(limits: &RateLimits, connections: u32) -> Self {
        let places = usize::try_from(connections / 2).unwrap_or(1).max(1);
        Self {
            users: Arc::new(Table::new("user", limits.user, places)),
            addresses: Arc::new(Table::new("address", limits.address, places)),
        }
    }

    /// Takes `cost` units from the budget of the client. Nothing is taken if the request is refused.
    pub(crate) fn admit(&self, client: Client, cost: u32, now: DateTime<Utc>) -> Result<Admission, Refusal> {
        match client {
            Client::User(id) => Table::admit(&self.users, self.users.hasher.hash_one(id), cost, now),
            Client::Address(ip) => {
                let key = self.addresses.hasher.hash_one(ip.map(network));
                Table::admit(&self.addresses, key, cost, now)
            }
        }
    }
}

impl Table {
    fn new(name: &'static str, limit: RateLimit, places: usize) -> Self {
        let (hasher, clients) = (RandomState::new(), Mutex::default());
        Self { name, limit, places, max_clients: MAX_CLIENTS, hasher, clients }
    }

    fn admit(table: &Arc<Self>, key: u64, cost: u32, now: DateTime<Utc>) -> Result<Admission, Refusal> {
        let mut clients = table.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = table.make_room(&mut clients, key, now);
        let burst = f64::from(table.limit.burst);
        let bucket = clients.buckets.entry(key).or_insert_with(|| Bucket::full(burst, now));
        bucket.fill(table.limit, now);
        // A cost beyond the size of the bucket takes all of it.
        let cost = f64::from(cost.min(table.limit.burst));
        if bucket.units < cost {
            let seconds = (cost - bucket.units) / f64::from(table.limit.per_second);
            return Err(Refusal { retry_after: whole(seconds).max(1), quota: table.quota(bucket.units) });
        }
        if bucket.in_flight >= table.limit.concurrent {
            return Err(Refusal { retry_after: 1, quota: table.quota(bucket.units) });
        }
        bucket.units -= cost;
        bucket.in_flight += 1;
        let places = bucket.places.get_or_insert_with(|| Arc::new(Semaphore::new(table.places)));
        Ok(Admission { table: Arc::clone(table), key, places: Arc::clone(places), quota: table.quota(bucket.units) })
    }

    /// The key under which the client is kept: its own, or the shared one if the table is full of clients that are not at
    /// rest. A full table is searched once in a while only, or it would be searched for each request of an attack.
    fn make_room(&self, clients: &mut Clients, key: u64, now: DateTime<Utc>) -> u64 {
        const SHARED: u64 = 0;
        if clients.buckets.len() < self.max_clients || clients.buckets.contains_key(&key) {
            return key;
        }
        if (now - clients.swept_at).abs() >= SWEEP_INTERVAL {
            clients.swept_at = now;
            clients.buckets.retain(|_, bucket| {
                bucket.fill(self.limit, now);
                bucket.in_flight > 0 || bucket.units < f64::from(self.limit.burst)
            });
        }
        if clients.buckets.len() < self.max_clients { key } else { SHARED }
    }

    fn quota(&self, units: f64) -> Quota {
        let full_in = (f64::from(self.limit.burst) - units) / f64::from(self.limit.per_second);
        Quota { policy: self.name, limit: self.limit, remaining: whole(units.floor()), full_in: whole(full_in) }
    }
}

impl Bucket {
    const fn full(burst: f64, now: DateTime<Utc>) -> Self {
        Self { units: burst, at: now, in_flight: 0, places: None }
    }

    /// Adds what has become available since the last time. A clock that is set back adds nothing.
    fn fill(&mut self, limit: RateLimit, now: DateTime<Utc>) {
        let seconds = (now - self.at).as_seconds_f64().max(0.0);
        self.units = (self.units + seconds * f64::from(limit.per_second)).min(f64::from(limit.burst));
        self.at = now;
    }
}

impl Admission {
    /// Waits for a place among the client's own requests. The place is free again when the permit is dropped.
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let closed = |_| cairn_core::Error::message("the places of a client were closed").into();
        Arc::clone(&self.places).acquire_owned().await.map_err(closed)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut clients = self.table.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = clients.buckets.get_mut(&self.key) {
            bucket.in_flight = bucket.in_flight.saturating_sub(1);
            // A place is free only when its connection is back, which may be later.
            let total = self.table.places;
            if bucket.in_flight == 0 && self.places.available_permits() == total {
                bucket.places = None;
            }
        }
    }
}

impl Quota {
    /// Says in the headers of a response what is left.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let RateLimit { per_second, burst, .. } = self.limit;
        let window = u64::from(burst.div_ceil(per_second));
        let policy = format!("\"{}\";q={burst};w={window}", self.policy);
        let left = format!("\"{}\";r={};t={}", self.policy, self.remaining, self.full_in);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Rounds up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the values are small and not negative")]
fn whole(value: f64) -> u64 {
    value.ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use cairn_core::clock::{Clock, new_id};

    use super::*;

    const LIMIT: RateLimit = RateLimit { per_second: 10, burst: 50, concurrent: 3 };

    fn budgets(limit: RateLimit) -> Budgets {
        Budgets::new(&RateLimits { user: limit, address: limit }, 8)
    }

    fn address(text: &str) -> Client {
        Client::Address(Some(text.parse().unwrap()))
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let (budgets, now, user) = (budgets(LIMIT), Clock::default().now(), Client::User(new_id()));
        let left = budgets.admit(user, 20, now).unwrap().quota;
        assert_eq!((left.remaining, left.full_in), (30, 2));
        assert_eq!(budgets.admit(user, 30, now).unwrap().quota.remaining, 0);
        let refused = budgets.admit(user, 25, now).unwrap_err();
        assert_eq!((refused.retry_after, refused.quota.remaining), (3, 0));
        assert!(budgets.admit(user, 25, now + TimeDelta::milliseconds(2499)).is_err(), "a refusal takes nothing");
        assert!(budgets.admit(user, 25, now + TimeDelta::milliseconds(2500)).is_ok());
        // An hour's rest gives no more than the bucket holds, and what costs more takes all of it.
        let later = now + TimeDelta::hours(1);
        assert_eq!(budgets.admit(user, 1000, later).unwrap().quota.remaining, 0);
        assert!(budgets.admit(user, 1, later - TimeDelta::hours(2)).is_err(), "a clock that is set back gives nothing");
    }

    #[test]
    fn clients_have_budgets_of_their_own() {
        let (budgets, now) = (budgets(LIMIT), Clock::default().now());
        for client in [Client::User(new_id()), Client::User(new_id()), Client::Address(None), address("192.0.2.7")] {
            assert!(budgets.admit(client, 50, now).is_ok(), "{client:?}");
            assert!(budgets.admit(client, 1, now).is_err(), "{client:?}");
        }
        assert!(budgets.admit(address("192.0.2.8"), 50, now).is_ok());
        assert!(budgets.admit(address("2001:db8:1:2::1"), 50, now).is_ok());
        assert!(budgets.admit(address("2001:db8:1:2:ffff::"), 1, now).is_err(), "a /64 is one client");
        assert!(budgets.admit(address("2001:db8:1:3::1"), 1, now).is_ok());
    }

    #[test]
    fn requests_at_the_same_time_are_bounded() {
        let (budgets, now, user) = (budgets(LIMIT), Clock::default().now(), Client::User(new_id()));
        let mut running: Vec<_> = (0..3).map(|_| budgets.admit(user, 1, now).unwrap()).collect();
        let refused = budgets.admit(user, 1, now).unwrap_err();
        assert_eq!((refused.retry_after, refused.quota.remaining), (1, 47));
        running.pop();
        assert!(budgets.admit(user, 1, now).is_ok());
    }

    #[test]
    fn who_is_at_rest_is_forgotten_and_who_is_not_stays() {
        let now = Clock::default().now();
        let mut table = Table::new("address", LIMIT, 1);
        table.max_clients = 100;
        let table = Arc::new(table);
        let count = || table.clients.lock().unwrap().buckets.len();
        for key in 1..=100 {
            assert!(Table::admit(&table, key, 50, now).is_ok());
        }
        // All are busy: the others share one bucket, and displace nobody.
        assert!(Table::admit(&table, 101, 50, now).is_ok());
        assert!(Table::admit(&table, 102, 1, now).is_err());
        assert!(Table::admit(&table, 7, 1, now).is_err());
        assert_eq!(count(), 101);
        let running = Table::admit(&table, 5, 1, now + TimeDelta::seconds(1)).unwrap();
        assert!(Table::admit(&table, 103, 50, now + TimeDelta::seconds(10)).is_ok());
        assert_eq!(count(), 2, "the one that runs, and the new one");
        drop(running);
    }

    #[tokio::test]
    async fn requests_of_one_client_wait_for_each_other() {
        let (budgets, now, user) = (budgets(RateLimit { concurrent: 10, ..LIMIT }), Clock::default().now(), new_id());
        let admissions: Vec<_> = (0..5).map(|_| budgets.admit(Client::User(user), 1, now).unwrap()).collect();
        let mut places = Vec::new();
        for admission in &admissions[..4] {
            places.push(admission.place().await.unwrap());
        }
        // Half of the eight connections are taken. The fifth waits, and another user does not.
        let mut fifth = tokio_test_poll(admissions[4].place());
        assert!(fifth.is_pending());
        let other = budgets.admit(Client::User(new_id()), 1, now).unwrap();
        assert!(tokio_test_poll(other.place()).is_ready());
        places.pop();
        fifth = tokio_test_poll(admissions[4].place());
        assert!(fifth.is_ready());
    }

    /// Polls a future once.
    fn tokio_test_poll<F: Future>(future: F) -> std::task::Poll<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context)
    }

    #[test]
    fn headers_say_what_is_left() {
        let (budgets, now) = (budgets(LIMIT), Clock::default().now());
        let mut headers = HeaderMap::new();
        budgets.admit(Client::User(new_id()), 20, now).unwrap().quota.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"user\";q=50;w=5");
        assert_eq!(headers["ratelimit"], "\"user\";r=30;t=2");
    }
}
