//! Small courses with titles and an order.

use std::sync::atomic::{AtomicI32, Ordering};

use cairn_core::clock::new_id;
use sqlx::PgPool;
use uuid::Uuid;

use crate::rows;

/// A published module and what a test adds around it. What is added later comes later in the order.
pub struct Course {
    pool: PgPool,
    /// The module of its lessons.
    pub module: Uuid,
    count: AtomicI32,
}

/// A roadmap made by [`Course::path`].
pub struct Path {
    /// The roadmap.
    pub id: Uuid,
    /// Its stages.
    pub stages: Vec<Uuid>,
    /// The lessons of each stage; all are required.
    pub lessons: Vec<Vec<Uuid>>,
}

impl Course {
    /// A module without lessons.
    pub async fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), module: rows::add_module_at(pool, 1).await, count: AtomicI32::new(1) }
    }

    /// Creates a published roadmap with a stage for each number of lessons. Stages are named “Stage 1”, …, and lessons
    /// “Lesson 1.1”, ….
    pub async fn path(&self, is_sequential: bool, stages: &[usize]) -> Path {
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

    /// A published roadmap named “Roadmap” and its position, with the slug `roadmap-<position>`.
    pub async fn roadmap(&self, is_sequential: bool) -> Uuid {
        let (id, position) = (new_id(), self.next());
        sqlx::query(
            "INSERT INTO roadmaps (id, slug, title, summary, is_sequential, position, publication)
             VALUES ($1, 'roadmap-' || $2::integer, 'Roadmap ' || $2::integer, 'A way', $3, $2, 'published')",
        )
        .bind(id)
        .bind(position)
        .bind(is_sequential)
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    /// A published stage at the end of a roadmap.
    pub async fn stage(&self, roadmap: Uuid, title: &str) -> Uuid {
        let (id, position) = (new_id(), self.next());
        sqlx::query(
            "INSERT INTO stages (id, roadmap_id, slug, title, position, publication)
             VALUES ($1, $2, 'stage-' || $3::integer, $4, $3, 'published')",
        )
        .bind(id)
        .bind(roadmap)
        .bind(position)
        .bind(title)
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    /// A published lesson with a body and a video, in no stage, that learners complete themselves.
    pub async fn lesson(&self, title: &str) -> Uuid {
        rows::add_lesson_at(&self.pool, self.module, title, self.next()).await
    }

    /// Puts a lesson at the end of a stage.
    pub async fn put(&self, stage: Uuid, lesson: Uuid, is_required: bool) {
        sqlx::query("INSERT INTO stage_lessons (stage_id, lesson_id, position, is_required) VALUES ($1, $2, $3, $4)")
            .bind(stage)
            .bind(lesson)
            .bind(self.next())
            .bind(is_required)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Adds a material at the end of a lesson.
    pub async fn material(&self, lesson: Uuid, title: &str) {
        sqlx::query(
            "INSERT INTO lesson_materials (lesson_id, kind, title, url, position)
             VALUES ($1, 'link', $2, 'https://material.example/secret', $3)",
        )
        .bind(lesson)
        .bind(title)
        .bind(self.next())
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// Adds a task at the end of a lesson.
    pub async fn task(&self, lesson: Uuid, title: &str, is_required: bool) -> Uuid {
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
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    /// Lets a lesson be completed by its tasks.
    pub async fn complete_by_tasks(&self, lesson: Uuid) {
        self.edit("UPDATE lessons SET completion = 'tasks' WHERE id = $1", lesson).await;
    }

    /// Changes the row with that id.
    pub async fn edit(&self, statement: &'static str, id: Uuid) {
        let done = sqlx::query(statement).bind(id).execute(&self.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }

    fn next(&self) -> i32 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }
}
