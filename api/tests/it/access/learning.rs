//! The course, the learners' progress, and their mentors.

use cairn_api::Code::{LessonNotFound, RoadmapNotFound, TaskNotFound};

use super::table::Access::{Admins, Members, Mentors};
use super::table::{Row, nobody, row};

const DRAFT_LESSON: &[(&str, &str)] = &[("lesson_id", "$draft lesson"), ("task_id", "$draft task")];
const DRAFT_MODULE: &[(&str, &str)] = &[("module_id", "$draft module")];
const DRAFT_ROADMAP: &[(&str, &str)] = &[("roadmap_id", "$draft roadmap")];
const DRAFT_STAGE: &[(&str, &str)] = &[("stage_id", "$draft stage")];
const DELETED_LESSON: &[(&str, &str)] = &[("lesson_id", "$deleted lesson")];
const DELETED_MODULE: &[(&str, &str)] = &[("module_id", "$deleted module")];
const DELETED_ROADMAP: &[(&str, &str)] = &[("roadmap_id", "$deleted roadmap")];
const DELETED_STAGE: &[(&str, &str)] = &[("stage_id", "$deleted stage")];

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("listRoadmaps", Members, 2),
    row("getRoadmap", Members, 5),
    nobody("getRoadmap", RoadmapNotFound).given(DRAFT_ROADMAP),
    nobody("getRoadmap", RoadmapNotFound).given(DELETED_ROADMAP),
    row("getRoadmapProgress", Members, 2),
    nobody("getRoadmapProgress", RoadmapNotFound).given(DRAFT_ROADMAP),
    row("getMyProgress", Members, 3),
    row("listModules", Members, 2),
    row("getLesson", Members, 5),
    nobody("getLesson", LessonNotFound).given(DRAFT_LESSON),
    nobody("getLesson", LessonNotFound).given(DELETED_LESSON),
    row("startLesson", Members, 6),
    nobody("startLesson", LessonNotFound).given(DRAFT_LESSON),
    row("completeLesson", Members, 6),
    nobody("completeLesson", LessonNotFound).given(DRAFT_LESSON),
    row("uncompleteLesson", Members, 6).given(&[("lesson_id", "$lesson 2")]),
    nobody("uncompleteLesson", LessonNotFound).given(DRAFT_LESSON),
    row("checkTask", Members, 9),
    nobody("checkTask", LessonNotFound).given(DRAFT_LESSON),
    nobody("checkTask", TaskNotFound).given(&[("task_id", "$draft task")]),
    row("uncheckTask", Members, 7),
    nobody("uncheckTask", LessonNotFound).given(DRAFT_LESSON),

    row("listStudents", Mentors, 2),
    row("listStudents", Mentors, 2).given(&[("q", "student")]),
    row("listStudents", Mentors, 2).given(&[("roadmap", "$roadmap 1")]),
    row("getStudent", Mentors, 4),
    row("getStudentProgress", Mentors, 3),
    row("listStudentActivity", Mentors, 3),

    row("listAdminModules", Admins, 2),
    row("createModule", Admins, 8).body(r#"{"slug": "new", "title": "New"}"#),
    row("reorderModules", Admins, 6).body(r#"{"ids": "$all modules"}"#),
    row("getAdminModule", Admins, 2),
    row("updateModule", Admins, 9).body(r#"{"title": "Changed"}"#),
    row("deleteModule", Admins, 9).given(DRAFT_MODULE),
    row("publishModule", Admins, 9).given(DRAFT_MODULE),
    row("archiveModule", Admins, 10),
    row("restoreModule", Admins, 10).given(DELETED_MODULE),

    row("listAdminLessons", Admins, 2),
    row("createLesson", Admins, 13).body(r#"{"module_id": "$module 1", "slug": "new", "title": "New", "duration_minutes": 5, "tasks": "$all new tasks", "materials": "$all new materials"}"#),
    row("reorderLessons", Admins, 7).body(r#"{"ids": "$all lessons"}"#),
    row("getAdminLesson", Admins, 5),
    row("updateLesson", Admins, 16).body(r#"{"title": "Changed", "tasks": "$all changed tasks", "materials": "$all changed materials"}"#),
    row("deleteLesson", Admins, 17),
    row("publishLesson", Admins, 16).given(DRAFT_LESSON),
    row("archiveLesson", Admins, 17),
    row("restoreLesson", Admins, 17).given(DELETED_LESSON),
    row("previewLesson", Admins, 7).given(DRAFT_LESSON),

    row("listAdminRoadmaps", Admins, 2),
    row("createRoadmap", Admins, 9).body(r#"{"slug": "new", "title": "New"}"#),
    row("reorderRoadmaps", Admins, 6).body(r#"{"ids": "$all roadmaps"}"#),
    row("getAdminRoadmap", Admins, 3),
    row("updateRoadmap", Admins, 10).body(r#"{"is_sequential": true}"#),
    row("deleteRoadmap", Admins, 10),
    row("publishRoadmap", Admins, 10).given(DRAFT_ROADMAP),
    row("archiveRoadmap", Admins, 10),
    row("restoreRoadmap", Admins, 11).given(DELETED_ROADMAP),
    row("previewRoadmap", Admins, 4),

    row("listAdminStages", Admins, 3),
    row("createStage", Admins, 10).body(r#"{"slug": "new", "title": "New"}"#),
    row("reorderStages", Admins, 10).body(r#"{"ids": "$all stages"}"#),
    row("getAdminStage", Admins, 2),
    row("updateStage", Admins, 9).body(r#"{"title": "Changed"}"#),
    row("deleteStage", Admins, 10),
    row("publishStage", Admins, 10).given(DRAFT_STAGE),
    row("archiveStage", Admins, 10),
    row("restoreStage", Admins, 11).given(DELETED_STAGE),
    row("listAdminStageLessons", Admins, 3),
    row("updateStageLessons", Admins, 15).body(r#"{"lessons": "$all placed lessons"}"#),
    row("putStageLesson", Admins, 16).body(r#"{"is_required": false}"#),
    row("deleteStageLesson", Admins, 15),

    row("exportCourse", Admins, 13),
    row("createCourseImport", Admins, 4).body(r#"{"document": "{\"version\": 1, \"modules\": []}"}"#),
    row("listCourseImports", Admins, 2),
    row("getCourseImport", Admins, 2),
];
