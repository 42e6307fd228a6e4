//! Vectors of passages, by which sources are found by their meaning. The worker asks an endpoint for them, if one is configured.
//!
//! The triggers of the search index forget the vector of a passage whose text has changed, so the passages without a vector of
//! the configured model are what is left to do: new and changed ones, and all of them after the model was changed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::search::HitKind;
use crate::Result;

/// The most dimensions of a vector that are kept.
pub const MAX_DIMENSIONS: usize = 4096;

/// Identifies a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PassageKey {
    /// The kind of the object that it belongs to.
    pub kind: HitKind,
    /// Identifies the object among those of its kind.
    pub object_id: Uuid,
    /// Its number in the object's text, from 1; 0 stands for the title and the summary, and numbers below for the questions that
    /// the object answers.
    pub nth: i32,
}

/// The direction of a vector, with a byte for each dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedding(Vec<i8>);

impl Embedding {
    /// The direction of a vector; `None` if it has none, is too long, or is not finite.
    pub fn of(vector: &[f32]) -> Option<Self> {
        let greatest = vector.iter().fold(0.0_f32, |greatest, x| greatest.max(x.abs()));
        if vector.len() > MAX_DIMENSIONS || !vector.iter().all(|x| x.is_finite()) || greatest <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "from -127 to 127")]
        let scaled = |x: &f32| (x / greatest * 127.0).round() as i8;
        Some(Self(vector.iter().map(scaled).collect()))
    }

    /// One that was stored.
    fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| byte.cast_signed()).collect())
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().map(|x| x.cast_unsigned()).collect()
    }

    /// The dimensions, from -127 to 127.
    pub fn dimensions(&self) -> &[i8] {
        &self.0
    }
}

/// A passage that has no vector of a model.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Identifies the passage.
    pub key: PassageKey,
    /// What the vector is made of.
    pub text: String,
    /// The digest of that text.
    text_digest: Option<Uuid>,
}

/// At most `limit` passages of these kinds that have no vector with this name.
pub async fn pending(
    connection: &mut PgConnection,
    vector_name: &str,
    kinds: &[HitKind],
    limit: i64,
) -> Result<Vec<Pending>> {
    // Three ranges of the index, because "is another one" is none. OFFSET keeps the planner from reading all that is searchable.
    let rows = sqlx::query!(
        r#"SELECT p.kind AS "kind!: HitKind", p.object_id AS "object_id!", p.nth AS "nth!", p.text_digest,
               s.title || E'\n' || CASE p.nth WHEN 0 THEN s.about ELSE p.content END AS "text!"
           FROM unnest($2::search_kind[]) AS k (kind)
           CROSS JOIN LATERAL (
               (SELECT * FROM search_passages WHERE kind = k.kind AND embedded_by IS NULL LIMIT $3)
               UNION ALL (SELECT * FROM search_passages WHERE kind = k.kind AND embedded_by < $1 LIMIT $3)
               UNION ALL (SELECT * FROM search_passages WHERE kind = k.kind AND embedded_by > $1 LIMIT $3)
           ) p
           CROSS JOIN LATERAL (SELECT * FROM searchable s WHERE s.kind = p.kind AND s.id = p.object_id OFFSET 0) s
           LIMIT $3"#,
        vector_name,
        kinds as &[HitKind],
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let pending = rows.into_iter().map(|row| Pending {
        key: PassageKey { kind: row.kind, object_id: row.object_id, nth: row.nth },
        text: row.text,
        text_digest: row.text_digest,
    });
    Ok(pending.collect())
}

/// Stores vectors; `None` for a text that the model does not take. What was changed meanwhile is still pending afterwards.
pub async fn store(
    connection: &mut PgConnection,
    vector_name: &str,
    embedded: &[(Pending, Option<Embedding>)],
) -> Result<()> {
    let keys = || embedded.iter().map(|(pending, _)| pending.key);
    let kinds: Vec<HitKind> = keys().map(|key| key.kind).collect();
    let ids: Vec<Uuid> = keys().map(|key| key.object_id).collect();
    let numbers: Vec<i32> = keys().map(|key| key.nth).collect();
    let digests: Vec<Option<Uuid>> = embedded.iter().map(|(pending, _)| pending.text_digest).collect();
    let vectors: Vec<Option<Vec<u8>>> =
        embedded.iter().map(|(_, vector)| vector.as_ref().map(Embedding::to_bytes)).collect();
    sqlx::query!(
        "UPDATE search_passages p SET embedded_by = $1, embedding = e.embedding, embedded_at = clock_timestamp()
         FROM unnest($2::search_kind[], $3::uuid[], $4::integer[], $5::uuid[], $6::bytea[])
             AS e (kind, object_id, nth, text_digest, embedding)
         WHERE p.object_id = e.object_id AND p.kind = e.kind AND p.nth = e.nth
             AND p.text_digest IS NOT DISTINCT FROM e.text_digest",
        vector_name,
        &kinds as &[HitKind],
        &ids,
        &numbers,
        &digests as &[Option<Uuid>],
        &vectors as &[Option<Vec<u8>>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A stored vector.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Identifies the passage.
    pub key: PassageKey,
    /// Its vector.
    pub embedding: Embedding,
    /// When it was stored.
    pub embedded_at: DateTime<Utc>,
}

/// The next `limit` vectors with a name, of one kind, in the order in which they were stored, after the time and the passage of
/// `after`.
pub async fn stored(
    connection: &mut PgConnection,
    vector_name: &str,
    kind: HitKind,
    after: (DateTime<Utc>, Uuid, i32),
    limit: i64,
) -> Result<Vec<Stored>> {
    let rows = sqlx::query!(
        r#"SELECT object_id, nth, embedding, embedded_at AS "embedded_at!" FROM search_passages
           WHERE kind = $2 AND embedded_by = $1 AND (embedded_at, object_id, nth) > ($3, $4, $5)
           ORDER BY embedded_at, object_id, nth LIMIT $6"#,
        vector_name,
        kind as HitKind,
        after.0,
        after.1,
        after.2,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let stored = rows.into_iter().map(|row| Stored {
        key: PassageKey { kind, object_id: row.object_id, nth: row.nth },
        embedding: Embedding::from_bytes(row.embedding.as_deref().unwrap_or_default()),
        embedded_at: row.embedded_at,
    });
    Ok(stored.collect())
}

/// An object that is near to a question, by its nearest passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// The kind of object.
    pub kind: HitKind,
    /// Identifies the object among those of its kind.
    pub object_id: Uuid,
    /// The number of its nearest passage other than the title; `None` if it has none.
    pub nth: Option<i32>,
    /// The cosine of the angle between the question and its nearest passage, from -1 to 1.
    pub similarity: f64,
}

/// An object that was found by its meaning, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct NearObject {
    pub(crate) kind: HitKind,
    pub(crate) id: Uuid,
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) passage: Option<String>,
    pub(crate) similarity: f64,
}

/// Looks objects up. Those that are not visible any more are left out.
pub(crate) async fn look_up(connection: &mut PgConnection, near: &[Near]) -> Result<Vec<NearObject>> {
    if near.is_empty() {
        return Ok(Vec::new());
    }
    let kinds: Vec<HitKind> = near.iter().map(|near| near.kind).collect();
    let ids: Vec<Uuid> = near.iter().map(|near| near.object_id).collect();
    let numbers: Vec<Option<i32>> = near.iter().map(|near| near.nth).collect();
    let similarities: Vec<f64> = near.iter().map(|near| near.similarity).collect();
    // OFFSET keeps the planner from joining the few objects with everything that is searchable.
    let objects = sqlx::query_as!(
        NearObject,
        r#"SELECT s.kind AS "kind!: HitKind", s.id AS "id!", s.title AS "title!", left(s.about, 300) AS "about!",
               (SELECT p.content FROM search_passages p
                WHERE p.object_id = n.id AND p.kind = n.kind AND p.nth = n.nth) AS passage,
               n.similarity AS "similarity!"
           FROM unnest($1::search_kind[], $2::uuid[], $3::integer[], $4::double precision[]) AS n (kind, id, nth, similarity)
           CROSS JOIN LATERAL (SELECT * FROM searchable s WHERE s.kind = n.kind AND s.id = n.id OFFSET 0) s"#,
        &kinds as &[HitKind],
        &ids,
        &numbers as &[Option<i32>],
        &similarities
    );
    Ok(objects.fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_kept_by_its_direction() {
        let same = [Embedding::of(&[0.5, -1.0, 0.0]), Embedding::of(&[50.0, -100.0, 0.0])];
        assert_eq!(same[0], same[1]);
        assert_eq!(same[0].as_ref().unwrap().dimensions(), [64, -127, 0]);
        let bytes = same[0].as_ref().unwrap().to_bytes();
        assert_eq!(Embedding::from_bytes(&bytes), same[0].clone().unwrap());
        let long = vec![1.0; MAX_DIMENSIONS + 1];
        for none in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY], &long] {
            assert_eq!(Embedding::of(none), None);
        }
    }
}
