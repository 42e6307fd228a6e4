//! How the models of an endpoint want to be asked, as learnt from what they refuse. All workers share what one of them has
//! learnt.

use std::str::FromStr;

use sqlx::PgConnection;

use crate::Result;
use crate::config::Adjustment;

/// What was learnt about a model of an endpoint in the last 30 days. After that it is learnt again, because servers are updated.
pub async fn learnt(connection: &mut PgConnection, endpoint: &str, model: &str) -> Result<Vec<Adjustment>> {
    let names = sqlx::query_scalar!(
        "SELECT adjustment FROM ai_adjustments
         WHERE endpoint = $1 AND model = $2 AND learnt_at > now() - interval '30 days'",
        endpoint,
        model
    );
    // What a newer release has learnt may have a name that is not known here.
    Ok(names.fetch_all(connection).await?.iter().filter_map(|name| Adjustment::from_str(name).ok()).collect())
}

/// Remembers what was learnt about a model of an endpoint.
pub async fn learn(
    connection: &mut PgConnection,
    endpoint: &str,
    model: &str,
    adjustments: &[Adjustment],
) -> Result<()> {
    let names: Vec<String> = adjustments.iter().map(|adjustment| adjustment.name().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO ai_adjustments (endpoint, model, adjustment)
         SELECT $1, $2, name FROM unnest($3::text[]) name ORDER BY name
         ON CONFLICT (endpoint, model, adjustment) DO UPDATE SET learnt_at = now()",
        endpoint,
        model,
        &names
    )
    .execute(connection)
    .await?;
    Ok(())
}
