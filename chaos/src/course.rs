//! The course that the learners take, and what else is there when a run begins.

use cairn_core::actor::Role;
use cairn_core::db::{Db, Tx};
use cairn_core::learning::course::{Course, import, parse};
use cairn_core::users::invites::{self, NewInvite};
use uuid::Uuid;

/// What the people of a run act on.
pub(crate) struct World {
    pub(crate) module: Uuid,
    pub(crate) roadmap: Uuid,
    /// In order.
    pub(crate) stages: Vec<Uuid>,
    /// Lessons that learners complete by hand.
    pub(crate) lessons: Vec<Uuid>,
    /// Lessons that are completed by their tasks.
    pub(crate) workshops: Vec<Uuid>,
    /// Published projects, which nobody moderates.
    pub(crate) projects: Vec<Uuid>,
    pub(crate) mentor_invite: String,
    pub(crate) admin_invite: String,
}

/// Fourteen lessons and four with tasks in three stages, all of them unlocked.
fn course() -> anyhow::Result<Course> {
    let lessons = (0..14).map(|n| {
        format!("{{slug: lesson-{n}, title: Lesson {n}, summary: S, duration_minutes: 5, body: Text about servers.}}")
    });
    let workshops = (0..4).map(|n| {
        format!(
            "{{slug: workshop-{n}, title: Workshop {n}, summary: S, duration_minutes: 5, body: Text., completion: tasks, \
             tasks: [{{slug: one, title: One}}, {{slug: two, title: Two}}, {{slug: three, title: Three, required: false}}]}}"
        )
    });
    let stages: Vec<String> = [(0..5, 0..1), (5..10, 1..2), (10..14, 2..4)]
        .into_iter()
        .enumerate()
        .map(|(n, (lessons, workshops))| {
            let lessons = lessons.map(|n| format!("{{lesson: lesson-{n}}}"));
            let entries: Vec<String> = lessons.chain(workshops.map(|n| format!("{{lesson: workshop-{n}}}"))).collect();
            format!("{{slug: stage-{n}, title: Stage {n}, summary: S, lessons: [{}]}}", entries.join(", "))
        })
        .collect();
    let text = format!(
        "version: 1\nmodules: [{{slug: module, title: Module, summary: S, lessons: [{}]}}]\n\
         roadmaps: [{{slug: roadmap, title: Roadmap, summary: S, stages: [{}]}}]\n",
        lessons.chain(workshops).collect::<Vec<_>>().join(", "),
        stages.join(", ")
    );
    parse(&text).map_err(|problems| anyhow::anyhow!("the course is invalid: {problems:?}"))
}

/// Sets up a course, some projects, open registration, moderation, and no limit on questions.
pub(crate) async fn seed(url: &str) -> anyhow::Result<World> {
    let db = Db::connect(url, url, 4)?;
    let mut tx = db.begin().await?;
    import(&mut tx, &course()?, |_, _| {}).await?;
    sqlx::raw_sql(
        "UPDATE platform_settings SET value = '\"open\"' WHERE key = 'registration.mode';
         UPDATE platform_settings SET value = '\"on\"' WHERE key = 'projects.moderation';
         UPDATE platform_settings SET value = '100000' WHERE key = 'ai.daily_questions';
         INSERT INTO users (id, email, first_name) VALUES (gen_random_uuid(), 'author@example.test', 'Author');
         INSERT INTO showcase_projects (user_id, title, status, published_at)
             SELECT id, 'Project ' || n, 'published', now() FROM users, generate_series(1, 5) n",
    )
    .execute(&mut *tx)
    .await?;
    let mentor_invite = invite(&mut tx, Role::Mentor).await?;
    let admin_invite = invite(&mut tx, Role::Admin).await?;
    let world = World {
        module: ids(&mut tx, "SELECT id FROM course_modules").await?[0],
        roadmap: ids(&mut tx, "SELECT id FROM roadmaps").await?[0],
        stages: ids(&mut tx, "SELECT id FROM stages ORDER BY slug").await?,
        lessons: ids(&mut tx, "SELECT id FROM lessons WHERE slug LIKE 'lesson-%' ORDER BY slug").await?,
        workshops: ids(&mut tx, "SELECT id FROM lessons WHERE slug LIKE 'workshop-%' ORDER BY slug").await?,
        projects: ids(&mut tx, "SELECT id FROM showcase_projects ORDER BY title").await?,
        mentor_invite,
        admin_invite,
    };
    tx.commit().await?;
    db.close().await;
    Ok(world)
}

async fn invite(tx: &mut Tx, role: Role) -> anyhow::Result<String> {
    let new = NewInvite { role, max_uses: 1000, expires_at: None, note: None };
    let invite = invites::create(tx, new).await.map_err(|rejected| anyhow::anyhow!("{rejected}"))?;
    Ok(invite.code)
}

async fn ids(tx: &mut Tx, query: &'static str) -> anyhow::Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(query).fetch_all(&mut **tx).await?)
}
