//! What the models cost, as the workers are configured. It is stored, so that whoever admits a question can tell what its reply may
//! cost.

use sqlx::PgConnection;

use super::Request;
use crate::Result;
use crate::config::AiConfig;

/// Stores what this process is configured with; `None` if the built-in provider answers, which costs nothing. Prices of other models
/// stay, because workers may be configured differently. The default model is that of the worker that was started last.
pub async fn publish(connection: &mut PgConnection, ai: Option<&AiConfig>) -> Result<()> {
    let (mut models, mut inputs, mut outputs): (Vec<String>, Vec<Option<f64>>, Vec<Option<f64>>) = Default::default();
    if let Some(ai) = ai {
        let prices = ai.prices.iter().map(|(model, price)| (model, Some(price.input), Some(price.output)));
        let default = (!ai.prices.contains_key(&ai.model)).then_some((&ai.model, None, None));
        for (model, input, output) in prices.chain(default) {
            models.push(model.clone());
            inputs.push(input);
            outputs.push(output);
        }
    }
    let default = ai.map(|ai| ai.model.as_str());
    let context_tokens = ai.map_or(1, |ai| i64::try_from(ai.context_tokens).unwrap_or(i64::MAX).max(1));
    sqlx::query!(
        "WITH others AS (UPDATE ai_models SET is_default = false WHERE is_default AND $4::text IS NOT NULL AND model <> $4)
         INSERT INTO ai_models (model, is_default, input_price, output_price, context_tokens)
         SELECT m.model, m.model = $4, m.input, m.output, $5
         FROM unnest($1::text[], $2::float8[], $3::float8[]) m (model, input, output) ORDER BY m.model
         ON CONFLICT (model) DO UPDATE SET is_default = excluded.is_default, input_price = excluded.input_price,
             output_price = excluded.output_price, context_tokens = excluded.context_tokens",
        &models,
        &inputs as &[Option<f64>],
        &outputs as &[Option<f64>],
        default,
        context_tokens
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What the tokens of a request cost, in millionths of the currency; `None` if no price is known.
pub(super) async fn cost(connection: &mut PgConnection, request: &Request, prompt_tokens: i32) -> Result<Option<i64>> {
    let cost = sqlx::query_scalar!("SELECT ai_cost($1, $2, 0)", request.model, i64::from(prompt_tokens));
    Ok(cost.fetch_one(connection).await?)
}
