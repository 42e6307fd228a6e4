//! Search in everything that learners may see.

use cairn_core::library::search::{self, HitKind, MATCH_END, MATCH_START};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Problem};

/// Search in everything that learners may see.
pub struct SearchApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "HitKind")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum SearchHitType {
    Lesson,
    Prompt,
    GlossaryTerm,
    StyleCard,
    Project,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct TextSegment {
    /// The text, as it is stored: escape it before you show it.
    pub text: String,
    /// Whether it matches the query.
    pub is_match: bool,
}

/// Something that matches a query.
#[derive(Clone, Debug, Object)]
pub struct SearchHit {
    /// What it is, and so where to get it.
    #[oai(rename = "type")]
    pub kind: SearchHitType,
    /// Identifies it among those of its type.
    pub id: Uuid,
    /// The name in URLs; the id of a project.
    pub slug: String,
    /// The title, or the term, in segments that together are the whole.
    pub title: Vec<TextSegment>,
    /// The most fitting part of its summary, description or definition, in segments.
    pub snippet: Vec<TextSegment>,
}

/// What a search found.
#[derive(Clone, Debug, Object)]
pub struct SearchResults {
    /// The hits, best first.
    pub items: Vec<SearchHit>,
}

impl From<search::Hit> for SearchHit {
    fn from(hit: search::Hit) -> Self {
        let (title, snippet) = (segments(&hit.marked_title), segments(&hit.marked_snippet));
        Self { kind: hit.kind.into(), id: hit.id, slug: hit.slug, title, snippet }
    }
}

fn segments(marked: &str) -> Vec<TextSegment> {
    let mut segments = Vec::new();
    for (n, part) in marked.split(MATCH_START).enumerate() {
        let (matched, rest) = if n == 0 { ("", part) } else { part.split_once(MATCH_END).unwrap_or((part, "")) };
        let parts = [(matched, true), (rest, false)].into_iter().filter(|(text, _)| !text.is_empty());
        segments.extend(parts.map(|(text, is_match)| TextSegment { text: text.to_owned(), is_match }));
    }
    segments
}

#[OpenApi]
impl SearchApi {
    /// Search the platform
    ///
    /// Finds lessons, prompts, glossary terms, style cards and published projects that you may see, best first: rare words
    /// count more than frequent ones, titles more than texts, and each word that occurs adds to the rest. Russian and English
    /// words match in all their forms. The last of up to four words also matches what begins with it, so you can search
    /// while somebody types, and a word that occurs nowhere matches words that are spelled similarly. `-word` leaves out
    /// what contains the word.
    ///
    /// There are no further pages: ask for more hits, or for a narrower query.
    #[oai(path = "/search", method = "get", operation_id = "search", tag = Tag::Library)]
    async fn search(
        &self,
        _caller: Member,
        /// What to look for, in words.
        #[oai(validator(min_length = 1, max_length = 200))]
        q: Query<String>,
        /// Only hits of this type. May be repeated; all types by default.
        #[oai(name = "type", default, validator(max_items = 5))]
        kinds: Query<Vec<SearchHitType>>,
        /// How many hits to return at most.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "50")))]
        limit: Query<i64>,
    ) -> Result<Json<SearchResults>, Problem> {
        let kinds: Vec<HitKind> = kinds.0.into_iter().map(Into::into).collect();
        let kinds = if kinds.is_empty() { HitKind::ALL } else { &kinds };
        let mut connection = self.app.connection().await?;
        let hits = search::search(&mut connection, &q.0, kinds, limit.0).await?;
        Ok(Json(SearchResults { items: hits.into_iter().map(Into::into).collect() }))
    }
}

const fn default_limit() -> i64 {
    20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_text_is_split_into_segments() {
        let split = |text: &str| -> Vec<(String, bool)> {
            segments(text).into_iter().map(|segment| (segment.text, segment.is_match)).collect()
        };
        let segment = |text: &str, is_match| (text.to_owned(), is_match);
        assert_eq!(split(""), []);
        assert_eq!(split("plain"), [segment("plain", false)]);
        assert_eq!(
            split("a \u{E000}grid\u{E001} and \u{E000}rows\u{E001}"),
            [segment("a ", false), segment("grid", true), segment(" and ", false), segment("rows", true)]
        );
        assert_eq!(split("\u{E000}all"), [segment("all", true)]);
    }
}
