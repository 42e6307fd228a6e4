//! Search in everything that learners may see: lessons, prompts, glossary terms, style cards and projects.
//!
//! The index is kept by triggers (`migrations/0116_search.sql`): for each word the objects that contain it, the best first. A
//! query reads the heads of the lists of its words, so its cost does not depend on how many objects match. The order of the
//! first ones also depends on their best passages (`migrations/0149_search_passages.sql`). What is found is looked up in the
//! view `searchable`, so nothing is returned that is not visible now.
//!
//! Both whole objects and passages are ranked by BM25 with k1 = 1.2 and b = 0.75, in the middle of what its authors recommend
//! (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, section 3.5). Other values were no better in
//! `cargo xtask evals`.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// How much of a query is used, in characters.
const MAX_QUERY_CHARS: usize = 1000;

/// How many words of a query are used.
const MAX_WORDS: usize = 32;

/// How many objects of each kind are read from the list of one word.
const LIST_HEAD: i64 = 200;

/// The greatest number of hits that a search returns.
pub const MAX_HITS: i64 = 50;

/// What kind of object a hit is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
    sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[sqlx(type_name = "search_kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum HitKind {
    Lesson,
    Prompt,
    GlossaryTerm,
    StyleCard,
    Project,
}

impl HitKind {
    /// All kinds.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in answers and documents.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// An object that matches a query.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What kind of object it is.
    pub kind: HitKind,
    /// Identifies the object among those of its kind.
    pub id: Uuid,
    /// The readable identifier; unique among objects of its kind. The id of a project.
    pub slug: String,
    /// The title, or the term itself.
    pub title: String,
    /// The beginning of the summary, description or definition, at most 300 characters.
    pub about: String,
    /// The title, with what matches between [`MATCH_START`] and [`MATCH_END`].
    pub marked_title: String,
    /// The most fitting part of the summary, description or definition, marked in the same way.
    pub marked_snippet: String,
    /// How well it matches; comparable within one search.
    pub score: f64,
    /// The most fitting passage of the text itself; `None` if it has none that matches. It may be shown only to those who may
    /// read the whole, which a search does not know: a lesson can be locked.
    pub passage: Option<String>,
}

/// Begins a match in a marked text. A character for private use, which is removed from what is searched.
pub const MATCH_START: char = '\u{E000}';
/// Ends a match in a marked text.
pub const MATCH_END: char = '\u{E001}';

/// The words of a query.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    wanted: Vec<String>,
    /// Those with a minus sign before them.
    unwanted: Vec<String>,
}

impl Words {
    fn of(query: &str) -> Self {
        let text: String = query.chars().take(MAX_QUERY_CHARS).collect();
        let mut words = Self::default();
        for part in text.split_whitespace() {
            let is_unwanted = part.starts_with('-');
            let list = if is_unwanted { &mut words.unwanted } else { &mut words.wanted };
            let split = part.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            list.extend(split.map(str::to_lowercase).take(MAX_WORDS.saturating_sub(list.len())));
        }
        words
    }
}

/// Finds at most `limit` hits of these kinds, and never more than [`MAX_HITS`], best first.
///
/// Any text is a valid query. Russian and English words match in all their forms; the last of a few words also matches what
/// begins with it; a word that occurs nowhere matches words that are spelled similarly. Objects with a word after a minus sign
/// are left out. No word has to occur: rare words count more than frequent ones, words that say little in any text count
/// least, and each word that occurs adds to the score.
pub async fn search(connection: &mut PgConnection, query: &str, kinds: &[HitKind], limit: i64) -> Result<Vec<Hit>> {
    find(connection, &Words::of(query), kinds, limit, false).await
}

/// Finds what may answer a question, like [`search`]. A question is asked in the words that a learner has, so they also match
/// words that mean about the same, and a minus sign in it is no instruction.
pub async fn answering(
    connection: &mut PgConnection,
    question: &str,
    kinds: &[HitKind],
    limit: i64,
) -> Result<Vec<Hit>> {
    find(connection, &Words::of(&question.replace('-', " ")), kinds, limit, true).await
}

async fn find(
    connection: &mut PgConnection,
    words: &Words,
    kinds: &[HitKind],
    limit: i64,
    with_synonyms: bool,
) -> Result<Vec<Hit>> {
    if words.wanted.is_empty() {
        return Ok(Vec::new());
    }
    let hits = sqlx::query_file_as!(
        Hit,
        "src/library/search.sql",
        &words.wanted,
        &words.unwanted,
        kinds as &[HitKind],
        LIST_HEAD,
        limit.clamp(1, MAX_HITS),
        with_synonyms
    );
    Ok(hits.fetch_all(connection).await?)
}

/// Counts the words of the index again if anything was changed since the last time.
pub async fn count_terms(connection: &mut PgConnection) -> Result<()> {
    let changed = sqlx::query!("DELETE FROM search_changes").execute(&mut *connection).await?.rows_affected();
    if changed > 0 {
        sqlx::query!("SELECT count_search_lexemes()").execute(connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(query: &str) -> (Vec<String>, Vec<String>) {
        let Words { wanted, unwanted } = Words::of(query);
        (wanted, unwanted)
    }

    #[test]
    fn a_query_is_split_into_words() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(words(" Flex-Box  «Сетка», a.b "), (list(&["flex", "box", "сетка", "a", "b"]), list(&[])));
        assert_eq!(words("grid -table -"), (list(&["grid"]), list(&["table"])));
        assert_eq!(words("\0 '' \\ --"), (list(&[]), list(&[])));
        assert_eq!(words(&"w ".repeat(5000)).0.len(), MAX_WORDS);
    }
}
