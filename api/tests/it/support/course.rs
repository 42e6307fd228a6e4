//! Small courses, created with SQL.

use std::sync::atomic::{AtomicI32, Ordering};

use cairn_core::clock::new_id;
use uuid::Uuid;

use super::TestApp;

/// A course with one published module for all lessons. Stages and roadmaps are ordered by their creation.
pub(crate) struct Course {
    app: TestApp,
    /// The module.
    pub(crate) module: Uuid,
    count: AtomicI32,
}

/// A roadmap created by [`Course::path`].
pub(crate) struct Path {
    /// The roadmap.
    pub(crate) id: Uuid,
    /// Its stages.
    pub(crate) stages: Vec<Uuid>,
    /// The lessons of each stage, all of which are required.
    pub(crate) lessons: Vec<Vec<Uuid>>,
}

impl Course {
    /// Creates an empty course.
    pub(crate) async fn new(app: &TestApp) -> Self {
        let course = Self { app: app.clone(), module: new_id(), count: AtomicI32::new(0) };
        let position = course.next();
        sqlx::query(
            "INSERT INTO course_modules (id, slug, title, position, publication)
             VALUES ($1, 'module-' || $2::integer, 'Module', $2, 'published')",
        )
        .bind(course.module)
        .bind(position)
        .execute(app.app.pool())
        .await
        .unwrap();
        course
    }

    /// Creates a published roadmap with a stage for each number of lessons. Stages are named “Stage 1”, …, and lessons
    /// “Lesson 1.1”, ….
    pub(crate) async fn path(&self, is_sequential: bool, stages: &[usize]) -> Path {
        let mut path = Path { id: self.roadmap(is_sequential).await, stages: Vec::new(), lessons: Vec::new() };
        for (s, count) in stages.iter().enumerate() {
            let stage = self.stage(path.id, &format!("Stage {}", s + 1)).await;
            let mut lessons = Vec::new();
            for l in 0..*count {
                let lesson = self.lesson(&format!("Lesson {}.{}", s + 1, l + 1)).await;
                self.put(stage, lesson, true).await;
                lessons.push(lesson);
            }
            path.stages.push(stage);
            path.lessons.push(lessons);
        }
        path
    }

    /// Creates a published roadmap.
    pub(crate) async fn roadmap(&self, is_sequential: bool) -> Uuid {
        let (id, position) = (new_id(), self.next());
        sqlx::query(
            "INSERT INTO roadmaps (id, slug, title, summary, is_sequential, position, publication)
             VALUES ($1, 'roadmap-' || $2::integer, 'Roadmap ' || $2::integer, 'A way', $3, $2, 'published')",
        )
        .bind(id)
        .bind(position)
        .bind(is_sequential)
        .execute(self.app.app.pool())
        .await
        .unwrap();
        id
    }

    /// Creates a published stage at the end of a roadmap.
    pub(crate) async fn stage(&self, roadmap: Uuid, title: &str) -> Uuid {
        let (id, position) = (new_id(), self.next());
        sqlx::query(
            "INSERT INTO stages (id, roadmap_id, slug, title, position, publication)
             VALUES ($1, $2, 'stage-' || $3::integer, $4, $3, 'published')",
        )
        .bind(id)
        .bind(roadmap)
        .bind(position)
        .bind(title)
        .execute(self.app.app.pool())
        .await
        .unwrap();
        id
    }

    /// Creates a published lesson with a body and a video. It is in no stage and is completed manually.
    pub(crate) async fn lesson(&self, title: &str) -> Uuid {
        let (id, position) = (new_id(), self.next());
        sqlx::query(
            "INSERT INTO lessons (id, module_id, slug, title, summary, body, video_url, duration_minutes, position,
                                  publication)
             VALUES ($1, $2, 'lesson-' || $3::integer, $4, 'In short', 'The secret text', 'https://video.example/secret', 10, $3,
                     'published')",
        )
        .bind(id)
        .bind(self.module)
        .bind(position)
        .bind(title)
        .execute(self.app.app.pool())
        .await
        .unwrap();
        id
    }

    /// Adds a lesson to the end of a stage.
    pub(crate) async fn put(&self, stage: Uuid, lesson: Uuid, is_required: bool) {
        sqlx::query("INSERT INTO stage_lessons (stage_id, lesson_id, position, is_required) VALUES ($1, $2, $3, $4)")
            .bind(stage)
            .bind(lesson)
            .bind(self.next())
            .bind(is_required)
            .execute(self.app.app.pool())
            .await
            .unwrap();
    }

    /// Adds a material to the end of a lesson.
    pub(crate) async fn material(&self, lesson: Uuid, title: &str) {
        sqlx::query(
            "INSERT INTO lesson_materials (lesson_id, kind, title, url, position)
             VALUES ($1, 'link', $2, 'https://material.example/secret', $3)",
        )
        .bind(lesson)
        .bind(title)
        .bind(self.next())
        .execute(self.app.app.pool())
        .await
        .unwrap();
    }

    /// Adds a task to the end of a lesson.
    pub(crate) async fn task(&self, lesson: Uuid, title: &str, is_required: bool) -> Uuid {
        let (id, position) = (new_id(), self.next());
        sqlx::query(
            "INSERT INTO lesson_tasks (id, lesson_id, slug, title, description, is_required, position)
             VALUES ($1, $2, 'task-' || $3::integer, $4, 'What to do', $5, $3)",
        )
        .bind(id)
        .bind(lesson)
        .bind(position)
        .bind(title)
        .bind(is_required)
        .execute(self.app.app.pool())
        .await
        .unwrap();
        id
    }

    /// Changes the rule of a lesson, so that its tasks complete it.
    pub(crate) async fn complete_by_tasks(&self, lesson: Uuid) {
        self.edit("UPDATE lessons SET completion = 'tasks' WHERE id = $1", lesson).await;
    }

    /// Updates the row with that id.
    pub(crate) async fn edit(&self, statement: &'static str, id: Uuid) {
        let done = sqlx::query(statement).bind(id).execute(self.app.app.pool()).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }

    fn next(&self) -> i32 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }
}
