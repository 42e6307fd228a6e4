//! The platform's content that an answer can refer to.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::actor::Caller;
use crate::learning::locks;
use crate::library::embeddings::{self, Near, NearObject};
use crate::library::search::{self, Hit, HitKind};

/// Most items of the platform's content in a context.
const MAX_SOURCES: usize = 5;

/// How many hits are looked at to find the best of them for this learner.
const CANDIDATES: i64 = 15;

/// How much the meaning of a question counts beside its words, from 0 to 1: as much as they do.
const WEIGHT_OF_MEANING: f64 = 0.5;

/// What answers refer to. Style cards are pictures rather than explanations, and projects are other learners' words.
pub const SOURCE_KINDS: &[HitKind] = &[HitKind::Lesson, HitKind::Prompt, HitKind::GlossaryTerm];

/// An item of the platform's content that an answer can refer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The kind of item.
    pub kind: HitKind,
    /// The id of the item.
    pub id: Uuid,
    /// The title.
    pub title: String,
    /// A summary of the item.
    pub about: String,
    /// The part of its text that fits the question best; `None` if no part does, or if the learner may not read it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<String>,
}

/// Finds the content on a user's question, the best match first: by its words, and by its meaning as far as `near` says what is
/// near to it, the nearest first. The order is that of the search, except that lessons explain more than terms and prompts, that a
/// text in the language of the question is better than one in another, and that of about equal matches the one in a roadmap that
/// the user has begun comes first.
pub async fn find(connection: &mut PgConnection, user_id: Uuid, question: &str, near: &[Near]) -> Result<Vec<Source>> {
    let hits = search::answering(&mut *connection, question, SOURCE_KINDS, CANDIDATES).await?;
    let near = embeddings::look_up(&mut *connection, near).await?;
    let mut candidates = fused(hits, near);
    let is_lesson = |candidate: &&mut Candidate| candidate.source.kind == HitKind::Lesson;
    let lessons: Vec<Uuid> = candidates.iter_mut().filter(is_lesson).map(|candidate| candidate.source.id).collect();
    let begun = begun(&mut *connection, user_id, &lessons).await?;
    let locked = locks::locked(connection, user_id, &lessons).await?;
    for Candidate { source, score } in candidates.iter_mut().filter(is_lesson) {
        *score *= if begun.contains(&source.id) { 1.03 } else { 1.0 };
        source.passage = source.passage.take().filter(|_| !locked.contains(&source.id));
    }
    for Candidate { source, score } in &mut candidates {
        *score *= suitability(source, question);
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.source.title.cmp(&b.source.title)));
    candidates.truncate(MAX_SOURCES);
    Ok(candidates.into_iter().map(|candidate| candidate.source).collect())
}

/// What may become a source.
struct Candidate {
    source: Source,
    score: f64,
}

/// What was found by words and by meaning, with scores from 0 to 1: a weighted sum of both, each in relation to the best. Bruch, Gai
/// and Ingber, An Analysis of Fusion Functions for Hybrid Retrieval, 2022, found this to be better than the sum of reciprocal ranks.
fn fused(hits: Vec<Hit>, near: Vec<NearObject>) -> Vec<Candidate> {
    let best = hits.iter().map(|hit| hit.score).fold(f64::MIN_POSITIVE, f64::max);
    let nearest = near.iter().map(|near| near.similarity).fold(f64::NEG_INFINITY, f64::max);
    let farthest = near.iter().map(|near| near.similarity).fold(f64::INFINITY, f64::min);
    let weight = if near.is_empty() { 0.0 } else { WEIGHT_OF_MEANING };
    let mut candidates: Vec<Candidate> = hits
        .into_iter()
        .map(|hit| Candidate { score: (1.0 - weight) * hit.score / best, source: Source::from(hit) })
        .collect();
    for NearObject { kind, id, title, about, passage, similarity } in near {
        let range = (nearest - farthest).max(f64::MIN_POSITIVE);
        let score = weight * (similarity - farthest) / range;
        match candidates.iter_mut().find(|candidate| candidate.source.kind == kind && candidate.source.id == id) {
            Some(candidate) => {
                candidate.score += score;
                candidate.source.passage = candidate.source.passage.take().or(passage);
            }
            None => candidates.push(Candidate { source: Source { kind, id, title, about, passage }, score }),
        }
    }
    candidates
}

impl From<Hit> for Source {
    fn from(hit: Hit) -> Self {
        Self { kind: hit.kind, id: hit.id, title: hit.title, about: hit.about, passage: hit.passage }
    }
}

fn suitability(source: &Source, question: &str) -> f64 {
    let asked_for = if names(question, &source.title) { 1.3 } else { 1.0 };
    let kind = if source.kind == HitKind::Lesson { 1.0 } else { 0.8 };
    let text = format!("{} {}", source.title, source.about);
    asked_for * kind * if is_russian(&text) == is_russian(question) { 1.0 } else { 0.7 }
}

/// Whether a question contains all words of a title.
fn names(question: &str, title: &str) -> bool {
    let words = |text: &str| -> HashSet<String> {
        text.to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    words(title).is_subset(&words(question))
}

/// Whether a text has Cyrillic letters. A text in Russian may contain English terms, but not the other way round.
pub fn is_russian(text: &str) -> bool {
    text.chars().any(|c| ('\u{400}'..='\u{52f}').contains(&c))
}

/// Those of the lessons that are in a roadmap which the user has begun and not completed.
async fn begun(connection: &mut PgConnection, user_id: Uuid, lesson_ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let lessons = sqlx::query_scalar!(
        "SELECT DISTINCT sl.lesson_id
         FROM stage_lessons sl
         JOIN visible_stages s ON s.id = sl.stage_id
         JOIN user_roadmap_progress p ON p.roadmap_id = s.roadmap_id AND p.user_id = $1 AND p.status <> 'completed'
         WHERE sl.lesson_id = ANY ($2)",
        user_id,
        lesson_ids
    );
    Ok(lessons.fetch_all(connection).await?)
}

/// A source of a completed reply, as its owner may see it now.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplySource {
    /// Its number, from 1, by which the answer may cite it in square brackets.
    pub number: i32,
    /// The kind of item.
    pub kind: HitKind,
    /// Identifies the item among those of its kind.
    pub id: Uuid,
    /// The readable identifier of the item.
    pub slug: String,
    /// The title as it is now.
    pub title: String,
    /// The passage that the answer was given, or the summary if there was none or the item is locked.
    pub passage: String,
    /// Whether the answer cites it.
    pub is_used: bool,
    /// Whether it is a lesson that is locked for the owner.
    pub is_locked: bool,
}

/// A source as it is stored and as it is now.
struct Row {
    number: i32,
    kind: HitKind,
    id: Uuid,
    slug: String,
    title: String,
    passage: Option<String>,
    about: String,
    is_used: bool,
}

/// The sources of a completed reply of the caller. What the caller may no longer see is left out, whatever the answer says.
pub(super) async fn of_reply(
    connection: &mut PgConnection,
    caller: &Caller,
    reply_id: Uuid,
) -> Result<Vec<ReplySource>> {
    // OFFSET keeps the planner from joining the few sources with everything that is searchable.
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT stored.nth::integer AS "number!", s.kind AS "kind!: HitKind", s.id AS "id!", s.slug AS "slug!",
               s.title AS "title!", stored.value ->> 'passage' AS passage, left(s.about, 300) AS "about!",
               stored.nth = ANY (r.cited) AS "is_used!"
           FROM ai_replies r
           CROSS JOIN LATERAL jsonb_array_elements(r.context -> 'sources') WITH ORDINALITY AS stored (value, nth)
           CROSS JOIN LATERAL (
               SELECT * FROM searchable s
               WHERE s.kind = (stored.value ->> 'kind')::search_kind AND s.id = (stored.value ->> 'id')::uuid OFFSET 0
           ) s
           WHERE r.id = $1 AND r.user_id = $2 AND r.state = 'completed'
           ORDER BY stored.nth"#,
        reply_id,
        caller.user_id
    )
    .fetch_all(&mut *connection)
    .await?;
    let lessons: Vec<Uuid> = rows.iter().filter(|row| row.kind == HitKind::Lesson).map(|row| row.id).collect();
    let locked = locks::locked(connection, caller.user_id, &lessons).await?;
    let source = |row: Row| {
        let is_locked = row.kind == HitKind::Lesson && locked.contains(&row.id);
        let passage = row.passage.filter(|_| !is_locked).unwrap_or(row.about);
        let Row { number, kind, id, slug, title, is_used, .. } = row;
        ReplySource { number, kind, id, slug, title, passage, is_used, is_locked }
    };
    Ok(rows.into_iter().map(source).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_a_title_if_it_has_all_of_its_words() {
        assert!(names("What does WAL stand for?", "WAL"));
        assert!(names("Как работает кэш?", "Кэш"));
        assert!(!names("What is a foreign language?", "Foreign key"));
    }

    #[test]
    fn cyrillic_letters_make_a_text_russian() {
        assert!(is_russian("Что такое flexbox?"));
        assert!(!is_russian("What is flexbox? Ça va"));
    }
}
