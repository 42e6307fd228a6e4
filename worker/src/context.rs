//! What every job can use.

use cairn_core::admin::activity::{self, Event};
use cairn_core::clock::Clock;
use cairn_core::db::Db;
use cairn_core::learning::rollup::{self, Pair};

use crate::batcher::Batcher;

/// Handed to each run. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Writes events in groups: one commit for all that wait.
    pub(crate) events: Batcher<Event, ()>,
    /// Rolls pairs up in groups; `true` = the pair rests, come back for it.
    pub(crate) rollups: Batcher<Pair, bool>,
}

/// Most events of one insert, and pairs of one rollup transaction: enough to share a commit, few enough that a learner
/// who acts meanwhile does not notice the lock on his marker.
const EVENTS: usize = 500;
const PAIRS: usize = 50;

impl Context {
    /// Starts the batchers on the current runtime.
    pub fn new(db: Db, clock: Clock) -> Self {
        let events = Batcher::start(EVENTS, {
            let db = db.clone();
            move |events: Vec<Event>| {
                let db = db.clone();
                async move {
                    let mut tx = db.begin().await?;
                    activity::insert(&mut tx, &events).await?;
                    tx.commit().await?;
                    Ok(vec![(); events.len()])
                }
            }
        });
        let rollups = Batcher::start(PAIRS, {
            let (db, clock) = (db.clone(), clock.clone());
            move |pairs: Vec<Pair>| {
                let (db, clock) = (db.clone(), clock.clone());
                async move {
                    let mut tx = db.begin().await?;
                    let resting = rollup::roll_up(&mut tx, &clock, &pairs).await?;
                    tx.commit().await?;
                    Ok(pairs.iter().map(|pair| resting.contains(pair)).collect())
                }
            }
        });
        Self { db, clock, events, rollups }
    }
}
