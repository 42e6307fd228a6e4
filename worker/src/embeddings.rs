//! Finds what is near to a question by its meaning, where an endpoint for embeddings is configured.
//!
//! The vectors of all passages are kept in memory and compared one by one, which is exact, needs no extension of Postgres, and
//! takes less than a fifth of a second for the passages of 50,000 lessons (docs/AI.md). What fails here is made up for by the search by
//! words: a reply never depends on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cairn_core::config::EmbeddingsConfig;
use cairn_core::db::Db;
use cairn_core::library::embeddings::{self, Embedding, Near, PassageKey, Stored};
use cairn_core::library::search::HitKind;
use cairn_core::tools::Reason;
use cairn_core::tools::sources::SOURCE_KINDS;
use cairn_core::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::providers::{Embedded, Embeddings, Failure, is_about_a_text, may_be_about_a_text};

/// How many objects are near.
const NEAREST: usize = 20;

/// How many passages get their vectors by one request, unless that takes the endpoint too long.
const BATCH: i64 = 64;

/// How long passages get vectors in one run of the job. The last requests take up to 15 s more, and the deadline is
/// 20 s.
const RUN_LIMIT: Duration = Duration::from_secs(4);

/// How long a question may wait until it is known what is near.
const NEAR_LIMIT: Duration = Duration::from_secs(8);

/// How old the vectors in memory may be.
const REFRESH_AFTER: Duration = Duration::from_secs(5);

/// After which all vectors are read again, because those of removed passages are still in memory.
const RELOAD_AFTER: Duration = Duration::from_hours(1);

/// How many vectors are read at a time.
const PAGE: i64 = 5000;

/// Finds what is near to questions.
pub struct Meaning {
    endpoint: Embeddings,
    vectors: Arc<Mutex<Vectors>>,
    /// How many passages the endpoint is known to manage by one request.
    batch: AtomicI64,
    metrics: EmbeddingMetrics,
}

impl Meaning {
    /// By the configured endpoint, which is not called yet.
    pub fn new(config: &EmbeddingsConfig, registry: &Registry) -> Result<Self> {
        let endpoint = Embeddings::new(config)
            .map_err(|error| Error::message(format!("no HTTP client for embeddings: {error}")))?;
        let vectors = Arc::new(Mutex::new(Vectors::new(endpoint.vector_name())));
        Ok(Self { endpoint, vectors, batch: AtomicI64::new(BATCH), metrics: EmbeddingMetrics::new(registry)? })
    }

    /// What is near to a question, the nearest first. Nothing, if that cannot be found out now.
    pub async fn near(&self, db: &Db, question: &str) -> Vec<Near> {
        match tokio::time::timeout(NEAR_LIMIT, self.find_near(db, question)).await {
            Ok(Ok(near)) => near,
            Ok(Err(error)) => {
                tracing::warn!(%error, "sources are found by their words alone");
                Vec::new()
            }
            Err(_) => {
                let seconds = NEAR_LIMIT.as_secs();
                tracing::warn!("sources are found by their words alone, because {seconds} s were not enough for more");
                Vec::new()
            }
        }
    }

    async fn find_near(&self, db: &Db, question: &str) -> Result<Vec<Near>> {
        let Ok(mut permit) = self.endpoint.admit() else { return Ok(Vec::new()) };
        let asked = self.endpoint.question(question).await;
        match &asked {
            Err(failure) if !is_about_a_text(failure) => permit.failed(),
            _ => permit.succeeded(),
        }
        let Some(question) = self.counted(asked).and_then(|mut asked| asked.vectors.pop().flatten()) else {
            return Ok(Vec::new());
        };
        let mut vectors = self.vectors.clone().lock_owned().await;
        vectors.refresh(db).await?;
        self.metrics.passages.set(i64::try_from(vectors.passages.len()).unwrap_or(i64::MAX));
        // It may take longer than other tasks should wait.
        Ok(tokio::task::spawn_blocking(move || vectors.near(&question)).await?)
    }

    /// Gets the vectors of passages that have none, for some seconds. Returns whether there may be more of them.
    pub async fn embed(&self, db: &Db) -> Result<bool> {
        let started = Instant::now();
        let name = self.endpoint.vector_name();
        let mut batch = self.batch.load(Ordering::Relaxed);
        while started.elapsed() < RUN_LIMIT {
            let mut connection = db.acquire().await?;
            let pending = embeddings::pending(&mut connection, &name, SOURCE_KINDS, batch).await?;
            drop(connection);
            if pending.is_empty() {
                return Ok(false);
            }
            let Ok(mut permit) = self.endpoint.admit() else { return Ok(true) };
            let texts: Vec<&str> = pending.iter().map(|pending| pending.text.as_str()).collect();
            let asked = self.endpoint.passages(&texts).await;
            let is_several = pending.len() > 1;
            let is_refused = is_several && asked.as_ref().is_err_and(may_be_about_a_text);
            // A small machine needs a second for a passage.
            let is_too_much = is_several && asked.as_ref().is_err_and(|failure| failure.reason == Reason::TooSlow);
            match &asked {
                Err(_) if is_refused || is_too_much => {} // a smaller request says more
                Err(_) => permit.failed(),
                Ok(_) => permit.succeeded(),
            }
            let Some(asked) = self.counted(asked) else {
                if !is_refused && !is_too_much {
                    return Ok(true);
                }
                batch = i64::try_from(pending.len() / 4).unwrap_or(1).max(1);
                if is_too_much {
                    self.batch.store(batch, Ordering::Relaxed);
                }
                continue;
            };
            let embedded: Vec<_> = pending.into_iter().zip(asked.vectors).collect();
            let mut connection = db.acquire().await?;
            embeddings::store(&mut connection, &name, &embedded).await?;
        }
        Ok(true)
    }

    /// Counts a call; `None` if it failed.
    fn counted(&self, asked: std::result::Result<Embedded, Failure>) -> Option<Embedded> {
        let end = asked.as_ref().map_or_else(|failure| failure.reason.code(), |_| "completed");
        self.metrics.requests.with_label_values(&[end]).inc();
        match asked {
            Ok(embedded) => {
                self.metrics.tokens.inc_by(embedded.tokens);
                Some(embedded)
            }
            Err(Failure { reason, detail, .. }) => {
                tracing::warn!(reason = reason.code(), detail, "the endpoint for embeddings has failed");
                None
            }
        }
    }
}

/// The vectors of all passages.
struct Vectors {
    name: String,
    passages: Vec<Passage>,
    /// The places of the passages.
    places: HashMap<PassageKey, usize>,
    /// Until where each kind was read.
    read_until: HashMap<HitKind, (DateTime<Utc>, Uuid, i32)>,
    refreshed_at: Option<Instant>,
    loaded_at: Instant,
}

struct Passage {
    key: PassageKey,
    embedding: Embedding,
    length: f64,
}

impl Vectors {
    fn new(name: String) -> Self {
        let (passages, places, read_until) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { name, passages, places, read_until, refreshed_at: None, loaded_at: Instant::now() }
    }

    /// Reads what was stored since the last time. What was read before an error or a cancellation is not read again.
    async fn refresh(&mut self, db: &Db) -> Result<()> {
        if self.refreshed_at.is_some_and(|at| at.elapsed() < REFRESH_AFTER) {
            return Ok(());
        }
        if self.loaded_at.elapsed() >= RELOAD_AFTER {
            *self = Self::new(std::mem::take(&mut self.name));
        }
        for kind in SOURCE_KINDS {
            loop {
                let after = *self.read_until.entry(*kind).or_insert((DateTime::UNIX_EPOCH, Uuid::nil(), 0));
                let mut connection = db.acquire().await?;
                let page = embeddings::stored(&mut connection, &self.name, *kind, after, PAGE).await?;
                let is_last = i64::try_from(page.len()).unwrap_or(PAGE) < PAGE;
                if let Some(Stored { key, embedded_at, .. }) = page.last() {
                    self.read_until.insert(*kind, (*embedded_at, key.object_id, key.nth));
                }
                for stored in page {
                    self.put(stored);
                }
                if is_last {
                    break;
                }
            }
            // Transactions end in another order than that of the times that they store.
            if let Some((at, ..)) = self.read_until.get_mut(kind) {
                *at = (*at - TimeDelta::minutes(1)).max(DateTime::UNIX_EPOCH);
            }
        }
        self.refreshed_at = Some(Instant::now());
        Ok(())
    }

    fn put(&mut self, stored: Stored) {
        let length = dot(stored.embedding.dimensions(), stored.embedding.dimensions()).sqrt();
        let passage = Passage { key: stored.key, embedding: stored.embedding, length };
        if let Some(place) = self.places.get(&stored.key) {
            self.passages[*place] = passage;
        } else {
            self.places.insert(stored.key, self.passages.len());
            self.passages.push(passage);
        }
    }

    /// The objects that are nearest to a question. Vectors of another length are of another model with the same name.
    fn near(&self, question: &Embedding) -> Vec<Near> {
        let question = question.dimensions();
        let length = dot(question, question).sqrt();
        // With each object, how near its nearest passage other than the title is.
        let mut objects: HashMap<(HitKind, Uuid), (Near, f64)> = HashMap::new();
        for Passage { key, embedding, length: other } in &self.passages {
            if embedding.dimensions().len() != question.len() {
                continue;
            }
            let similarity = dot(question, embedding.dimensions()) / (length * other);
            let PassageKey { kind, object_id, nth } = *key;
            let far = Near { kind, object_id, nth: None, similarity: f64::NEG_INFINITY };
            let (near, passage) = objects.entry((kind, object_id)).or_insert((far, f64::NEG_INFINITY));
            near.similarity = near.similarity.max(similarity);
            if nth > 0 && similarity > *passage {
                (near.nth, *passage) = (Some(nth), similarity);
            }
        }
        let mut near: Vec<Near> = objects.into_values().map(|(near, _)| near).collect();
        near.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then(a.object_id.cmp(&b.object_id)));
        near.truncate(NEAREST);
        near
    }
}

/// The scalar product, which is exact: at most 4096 times 127 times 127.
fn dot(a: &[i8], b: &[i8]) -> f64 {
    f64::from(a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum::<i32>())
}

/// What embeddings cost. Labels are bounded: `end` is `completed` or a reason's code.
struct EmbeddingMetrics {
    requests: IntCounterVec,
    tokens: IntCounter,
    passages: IntGauge,
}

impl EmbeddingMetrics {
    fn new(registry: &Registry) -> Result<Self> {
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "cairn_embedding_requests_total",
                "Requests for the vectors of questions and passages, by how they ended.",
                &["end"],
                registry
            )?,
            tokens: register_int_counter_with_registry!(
                "cairn_embedding_tokens_total",
                "Tokens of these requests, as the endpoint counts them.",
                registry
            )?,
            passages: register_int_gauge_with_registry!(
                "cairn_embedding_passages",
                "Passages whose vectors are in the memory of this process.",
                registry
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(object: u128, nth: i32, vector: &[f32]) -> Stored {
        let key = PassageKey { kind: HitKind::Lesson, object_id: Uuid::from_u128(object), nth };
        Stored { key, embedding: Embedding::of(vector).unwrap(), embedded_at: DateTime::UNIX_EPOCH }
    }

    fn vectors(all: &[(u128, i32, &[f32])]) -> Vectors {
        let mut vectors = Vectors::new("m".to_owned());
        for (object, nth, vector) in all {
            vectors.put(stored(*object, *nth, vector));
        }
        vectors
    }

    #[test]
    fn the_nearest_passage_of_an_object_counts_and_titles_are_not_quoted() {
        let vectors = vectors(&[
            (1, 0, &[1.0, 0.0]),
            (1, 1, &[0.0, 1.0]),
            (1, 2, &[0.5, 1.0]),
            (2, 1, &[0.9, 0.1]),
            (3, 0, &[-1.0, 0.0]),
        ]);
        let near = vectors.near(&Embedding::of(&[2.0, 0.0]).unwrap());
        let found: Vec<_> = near.iter().map(|near| (near.object_id.as_u128(), near.nth)).collect();
        assert_eq!(found, [(1, Some(2)), (2, Some(1)), (3, None)]);
        assert!((near[0].similarity - 1.0).abs() < 1e-9 && (near[2].similarity + 1.0).abs() < 1e-9, "{near:?}");
    }

    #[test]
    fn a_vector_replaces_that_of_the_same_passage_and_other_lengths_are_left_out() {
        let mut vectors = vectors(&[(1, 1, &[1.0, 0.0]), (2, 1, &[1.0, 0.0, 0.0])]);
        vectors.put(stored(1, 1, &[0.0, 1.0]));
        let near = vectors.near(&Embedding::of(&[1.0, 0.0]).unwrap());
        assert_eq!(near.iter().map(|near| (near.object_id.as_u128(), near.similarity)).collect::<Vec<_>>(), [(1, 0.0)]);
    }

    #[test]
    fn at_most_the_nearest_are_returned() {
        let mut vectors = vectors(&[]);
        for object in 0..100_u8 {
            vectors.put(stored(u128::from(object), 1, &[1.0, f32::from(object)]));
        }
        let near = vectors.near(&Embedding::of(&[1.0, 0.0]).unwrap());
        let expected: Vec<u128> = (0..u128::try_from(NEAREST).unwrap()).collect();
        assert_eq!(near.iter().map(|near| near.object_id.as_u128()).collect::<Vec<_>>(), expected);
    }
}
