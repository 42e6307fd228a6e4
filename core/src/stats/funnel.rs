//! How far learners get in a roadmap.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A stage, and how many live learners got there.
#[derive(Clone, Debug)]
pub struct FunnelStage {
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// The title.
    pub title: String,
    /// How many learners have started it.
    pub started: i64,
    /// How many learners have completed it, and have it completed now.
    pub completed: i64,
    /// How many learners started no later stage, and have not completed the roadmap.
    pub stopped: i64,
}

/// The published stages of a roadmap in order. Refused if there is no such roadmap.
pub async fn of_roadmap(connection: &mut PgConnection, id: Uuid) -> Result<Vec<FunnelStage>, Rejected<NotFound>> {
    let roadmap = sqlx::query_scalar!("SELECT id FROM roadmaps WHERE id = $1 AND deleted_at IS NULL", id);
    roadmap.fetch_optional(&mut *connection).await?.or_not_found(Noun::Roadmap)?;
    let stages = sqlx::query_as!(
        FunnelStage,
        r#"WITH stage AS MATERIALIZED (
               SELECT id, title, row_number() OVER (ORDER BY position, id) AS number
               FROM stages WHERE roadmap_id = $1 AND deleted_at IS NULL AND publication = 'published'
           ),
           reached AS MATERIALIZED (
               SELECT p.user_id, s.number, p.status = 'completed' AS is_completed,
                   max(s.number) OVER (PARTITION BY p.user_id) AS furthest
               FROM stage s
               JOIN user_stage_progress p ON p.stage_id = s.id AND p.status IN ('in_progress', 'completed')
               JOIN users u ON u.id = p.user_id AND u.role = 'student' AND u.deleted_at IS NULL
           )
           SELECT s.id AS stage_id, s.title, count(r.user_id) AS "started!",
               count(*) FILTER (WHERE r.is_completed) AS "completed!",
               count(*) FILTER (WHERE r.number = r.furthest AND d.status <> 'completed') AS "stopped!"
           FROM stage s
           LEFT JOIN reached r ON r.number = s.number
           LEFT JOIN user_roadmap_progress d ON d.user_id = r.user_id AND d.roadmap_id = $1
           GROUP BY s.id, s.title, s.number
           ORDER BY s.number"#,
        id
    );
    Ok(stages.fetch_all(connection).await?)
}
