//! The settings as a process knows them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::stored::load;
use super::table::Settings;
use crate::Result;

/// How long settings are used before they are read again. A change in another process is noticed within this time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The settings that were read last.
#[derive(Debug, Default)]
pub struct Cache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<(Instant, Arc<Settings>)>,
    /// How often the cache was invalidated. What was read before the last time is not kept.
    generation: u64,
}

impl Cache {
    /// All settings, at most a second old. Reads them on `connection` if they are older.
    pub async fn get(&self, connection: &mut PgConnection) -> Result<Arc<Settings>> {
        let generation = {
            let state = self.lock();
            if let Some((read_at, settings)) = &state.loaded
                && read_at.elapsed() < MAX_AGE
            {
                return Ok(Arc::clone(settings));
            }
            state.generation
        };
        let read_at = Instant::now();
        let settings = Arc::new(load(connection).await?);
        let mut state = self.lock();
        if state.generation == generation {
            state.loaded = Some((read_at, Arc::clone(&settings)));
        }
        Ok(settings)
    }

    /// Has the settings read again when they are next needed, because they have changed.
    pub fn invalidate(&self) {
        let mut state = self.lock();
        state.loaded = None;
        state.generation += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
