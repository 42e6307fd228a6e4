//! Rows to start from. Everything is published, and slugs are the ids unless a function says otherwise.

use cairn_core::actor::Role;
use cairn_core::clock::new_id;
use sqlx::PgPool;
use uuid::Uuid;

use crate::database::run;

/// Adds a learner named Anna, with an address of her own.
pub async fn add_user(pool: &PgPool) -> Uuid {
    let id = new_id();
    insert_user(pool, id, &format!("{id}@example.test"), "Anna", Role::Student).await;
    id
}

/// Adds a user with this first name and role, whose address is `<name>@example.test`.
pub async fn add_person(pool: &PgPool, name: &str, role: Role) -> Uuid {
    let id = new_id();
    insert_user(pool, id, &format!("{name}@example.test"), name, role).await;
    id
}

async fn insert_user(pool: &PgPool, id: Uuid, email: &str, first_name: &str, role: Role) {
    sqlx::query("INSERT INTO users (id, email, first_name, role) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(email)
        .bind(first_name)
        .bind(role)
        .execute(pool)
        .await
        .unwrap();
}

/// Adds a module.
pub async fn add_module(pool: &PgPool) -> Uuid {
    add_module_at(pool, 0).await
}

/// Adds a module at a position.
pub async fn add_module_at(pool: &PgPool, position: i32) -> Uuid {
    let id = new_id();
    let values = format!("'{id}', '{id}', 'Module', {position}, 'published'");
    run(pool, format!("INSERT INTO course_modules (id, slug, title, position, publication) VALUES ({values})")).await;
    id
}

/// Adds a lesson.
pub async fn add_lesson(pool: &PgPool, module: Uuid) -> Uuid {
    add_lesson_at(pool, module, "Lesson", 0).await
}

/// Adds a lesson with this title at a position. It has a body and a video.
pub async fn add_lesson_at(pool: &PgPool, module: Uuid, title: &str, position: i32) -> Uuid {
    let id = new_id();
    sqlx::query(
        "INSERT INTO lessons (id, module_id, slug, title, summary, body, video_url, duration_minutes, position, publication)
         VALUES ($1, $2, $1::text, $3, 'In short', 'The secret text', 'https://video.example/secret', 10, $4, 'published')",
    )
    .bind(id)
    .bind(module)
    .bind(title)
    .bind(position)
    .execute(pool)
    .await
    .unwrap();
    id
}

/// Adds a roadmap that is not sequential.
pub async fn add_roadmap(pool: &PgPool) -> Uuid {
    let id = new_id();
    let values = format!("'{id}', '{id}', 'Roadmap', 'published'");
    run(pool, format!("INSERT INTO roadmaps (id, slug, title, publication) VALUES ({values})")).await;
    id
}

/// Adds a stage with required lessons at the end of the roadmap.
pub async fn add_stage(pool: &PgPool, roadmap: Uuid, lessons: &[Uuid]) -> Uuid {
    let id = new_id();
    run(
        pool,
        format!(
            "INSERT INTO stages (id, roadmap_id, slug, title, publication, position)
             SELECT '{id}', '{roadmap}', '{id}', 'Stage', 'published', count(*) FROM stages WHERE roadmap_id = '{roadmap}'"
        ),
    )
    .await;
    for lesson in lessons {
        link(pool, id, *lesson).await;
    }
    id
}

/// Adds a required lesson to a stage.
pub async fn link(pool: &PgPool, stage: Uuid, lesson: Uuid) {
    run(pool, format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{stage}', '{lesson}')")).await;
}

/// Completes a lesson as the API does, but without enqueueing a job.
pub async fn complete(pool: &PgPool, user: Uuid, lesson: Uuid) {
    run(pool, complete_statement(user, lesson)).await;
}

/// The statement of [`complete`].
pub fn complete_statement(user: Uuid, lesson: Uuid) -> String {
    format!(
        "INSERT INTO user_lesson_progress AS p (user_id, lesson_id, status, completed_at)
         VALUES ('{user}', '{lesson}', 'completed', now())
         ON CONFLICT (user_id, lesson_id) DO UPDATE SET status = 'completed', completed_at = now()
             WHERE p.status <> 'completed'"
    )
}

/// Adds published projects of one author, each with a like of the author that has not been counted.
pub async fn add_liked_projects(pool: &PgPool, n: usize) -> Vec<Uuid> {
    let author = add_user(pool).await;
    let projects: Vec<Uuid> = (0..n).map(|_| new_id()).collect();
    sqlx::query(
        "INSERT INTO showcase_projects (id, user_id, title, status, published_at)
         SELECT id, $1, 'P', 'published', now() FROM unnest($2) AS t (id)",
    )
    .bind(author)
    .bind(&projects)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query("INSERT INTO project_likes (project_id, user_id) SELECT id, $1 FROM unnest($2) AS t (id)")
        .bind(author)
        .bind(&projects)
        .execute(pool)
        .await
        .unwrap();
    projects
}
