//! The libraries, and the search.

use cairn_api::Code::{PromptNotFound, StyleNotFound, TermNotFound};

use super::table::Access::{Admins, Members};
use super::table::{Row, nobody, row};

const DRAFT_PROMPT: &[(&str, &str)] = &[("prompt_id", "$draft prompt")];
const DRAFT_STYLE: &[(&str, &str)] = &[("style_id", "$draft style")];
const DRAFT_TERM: &[(&str, &str)] = &[("term_id", "$draft term")];
const DELETED_PROMPT: &[(&str, &str)] = &[("prompt_id", "$deleted prompt")];
const DELETED_STYLE: &[(&str, &str)] = &[("style_id", "$deleted style")];
const DELETED_TERM: &[(&str, &str)] = &[("term_id", "$deleted term")];

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("search", Members, 2).given(&[("q", "colours")]),

    row("listStyles", Members, 2),
    row("getStyle", Members, 2),
    nobody("getStyle", StyleNotFound).given(DRAFT_STYLE),
    nobody("getStyle", StyleNotFound).given(DELETED_STYLE),
    row("recordStyleUse", Members, 5),
    nobody("recordStyleUse", StyleNotFound).given(DRAFT_STYLE),
    row("listAdminStyles", Admins, 2),
    row("createStyle", Admins, 4).body(r#"{"slug": "new", "title": "New", "category": "minimal"}"#),
    row("reorderStyles", Admins, 5).body(r#"{"ids": "$all styles"}"#),
    row("getAdminStyle", Admins, 2),
    row("updateStyle", Admins, 5).body(r#"{"title": "Changed"}"#),
    row("deleteStyle", Admins, 5),
    row("publishStyle", Admins, 5).given(DRAFT_STYLE),
    row("archiveStyle", Admins, 5),
    row("restoreStyle", Admins, 5).given(DELETED_STYLE),

    row("listTerms", Members, 2),
    row("getTerm", Members, 2),
    nobody("getTerm", TermNotFound).given(DRAFT_TERM),
    nobody("getTerm", TermNotFound).given(DELETED_TERM),
    row("listAdminTerms", Admins, 2),
    row("createTerm", Admins, 4).body(r#"{"slug": "new", "term": "New", "definition": "What is new"}"#),
    row("getAdminTerm", Admins, 2),
    row("updateTerm", Admins, 5).body(r#"{"term": "Changed"}"#),
    row("deleteTerm", Admins, 5),
    row("publishTerm", Admins, 5).given(DRAFT_TERM),
    row("archiveTerm", Admins, 5),
    row("restoreTerm", Admins, 5).given(DELETED_TERM),

    row("listPromptCategories", Members, 2),
    row("listAdminPromptCategories", Admins, 2),
    row("createPromptCategory", Admins, 4).body(r#"{"slug": "new", "name": "New", "kind": "design"}"#),
    row("reorderPromptCategories", Admins, 5).body(r#"{"ids": "$all categories"}"#),
    row("getAdminPromptCategory", Admins, 2),
    row("updatePromptCategory", Admins, 5).body(r#"{"name": "Changed"}"#),
    row("deletePromptCategory", Admins, 6).given(&[("prompt_category_id", "$empty category")]),
    row("restorePromptCategory", Admins, 5).given(&[("prompt_category_id", "$deleted categor")]),

    row("listPrompts", Members, 2),
    row("getPrompt", Members, 2),
    nobody("getPrompt", PromptNotFound).given(DRAFT_PROMPT),
    nobody("getPrompt", PromptNotFound).given(DELETED_PROMPT),
    row("recordPromptCopy", Members, 5),
    nobody("recordPromptCopy", PromptNotFound).given(DRAFT_PROMPT),
    row("listMyFavorites", Members, 2),
    row("favoritePrompt", Members, 4),
    nobody("favoritePrompt", PromptNotFound).given(DRAFT_PROMPT),
    row("unfavoritePrompt", Members, 4),
    row("listAdminPrompts", Admins, 2),
    row("createPrompt", Admins, 7).body(r#"{"category_id": "$category 1", "slug": "new", "title": "New", "body": "Words", "steps": "$all new steps"}"#),
    row("reorderPrompts", Admins, 6).body(r#"{"ids": "$all prompts"}"#),
    row("getAdminPrompt", Admins, 2),
    row("updatePrompt", Admins, 9).body(r#"{"title": "Changed", "steps": "$all changed steps"}"#),
    row("deletePrompt", Admins, 9),
    row("publishPrompt", Admins, 9).given(DRAFT_PROMPT),
    row("archivePrompt", Admins, 9),
    row("restorePrompt", Admins, 9).given(DELETED_PROMPT),
];
