//! Projects, their likes, and their moderation.

use cairn_api::Code::{OwnProject, ProjectNotFound};

use super::table::Access::{Admins, Members, Mentors, Owner};
use super::table::{Row, Who, nobody, row};

const DRAFT: &[(&str, &str)] = &[("project_id", "$draft project")];
const DELETED: &[(&str, &str)] = &[("project_id", "$deleted project")];
const SUBMITTED: &[(&str, &str)] = &[("project_id", "$submitted 1")];
/// Projects about which each moderator decides once.
const WAITING: &[(&str, &str)] = &[("project_id", "$due {caller}")];
const PUBLISHED: &[(&str, &str)] = &[("project_id", "$shown {caller}")];
const OF_THE_MENTOR: &[(&str, &str)] = &[("project_id", "$mentor project")];

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("listProjects", Members, 2),
    row("listProjects", Members, 2).given(&[("sort", "popular"), ("category", "other")]),
    row("listProjects", Members, 2).given(&[("sort", "trending")]),
    row("listMyProjects", Members, 2),
    row("createProject", Members, 9).body(r#"{"title": "New"}"#),
    row("getProject", Members, 2),
    row("getProject", Owner(ProjectNotFound), 2).given(DRAFT),
    row("getProject", Owner(ProjectNotFound), 2).given(SUBMITTED),
    nobody("getProject", ProjectNotFound).given(DELETED),
    row("updateProject", Owner(ProjectNotFound), 8).body(r#"{"title": "Changed"}"#),
    nobody("updateProject", ProjectNotFound).given(DELETED).body(r#"{"title": "Changed"}"#),
    row("deleteProject", Owner(ProjectNotFound), 6),
    row("submitProject", Owner(ProjectNotFound), 8).given(DRAFT),
    row("withdrawProject", Owner(ProjectNotFound), 7),
    row("likeProject", Members, 5),
    nobody("likeProject", ProjectNotFound).given(DRAFT),
    row("unlikeProject", Members, 4),
    nobody("unlikeProject", ProjectNotFound).given(DELETED),

    row("listSubmittedProjects", Mentors, 2),
    row("getWaitingProjects", Mentors, 2),
    row("getModeratedProject", Mentors, 2).given(SUBMITTED),
    row("approveProject", Mentors, 8).given(WAITING),
    row("rejectProject", Mentors, 8).given(WAITING).body(r#"{"reason": "Why"}"#),
    row("unpublishProject", Mentors, 8).given(PUBLISHED).body(r#"{"reason": "Why"}"#),
    row("approveProject", Admins, 8).given(OF_THE_MENTOR).except(&[(Who::Mentor, OwnProject)]),
    row("rejectProject", Admins, 8).given(OF_THE_MENTOR).except(&[(Who::Mentor, OwnProject)]).body(r#"{"reason": "Why"}"#),

    row("listAdminProjects", Admins, 2),
    row("getAdminProject", Admins, 2).given(DRAFT),
    row("deleteAdminProject", Admins, 5).given(&[("reason", "Why")]),
    row("restoreAdminProject", Admins, 6).given(DELETED).body(r#"{"reason": "Why"}"#),
];
