//! `cairn doctor`: says what is wrong and what to do about it.

mod database;
mod queues;
mod report;

use std::path::Path;

use cairn_core::config::Config;
use cairn_core::queue::queues as stored;
use cairn_core::tools::Reason;
use cairn_worker::providers::{Embeddings, Provider};

use self::database::{addresses, clock, connect, pooler, role, server};
use self::queues::{dead, jobs, paused, workers};
use self::report::Report;
use self::report::Verdict::{self, Bad, Good, Note};
use crate::database::{Database, Sharing};
use crate::failure::Failure;

pub(crate) async fn run(data_dir: &Path) -> Result<(), Failure> {
    let mut report = Report::default();
    let config = match Config::load() {
        Ok(config) => config,
        Err(error) => {
            report.add("config", &Bad(error.to_string()))?;
            return Err(Failure::AlreadyReported);
        }
    };
    report.add("config", &configuration(&config))?;
    report.add("ai", &provider(&config).await)?;
    report.add("embeddings", &Box::pin(embeddings(&config)).await)?;
    match Database::open(&config, data_dir, Sharing::Shared).await {
        Ok(database) => {
            examine(&mut report, &database, config.database_connections).await?;
            database.close().await?;
        }
        Err(Failure::Setup(message) | Failure::Failed(message)) => report.add("database", &Bad(message))?,
        Err(failure) => return Err(failure),
    }
    if report.failed { Err(Failure::AlreadyReported) } else { Ok(()) }
}

fn configuration(config: &Config) -> Verdict {
    match (&config.database_url, &config.jwt_secret) {
        (None, _) => Good("DATABASE_URL is not set: the embedded database of `cairn dev` is used".to_owned()),
        (Some(_), None) => Note(
            "CAIRN_JWT_SECRET is not set: cairn-api will not start; generate one with `openssl rand -base64 48`"
                .to_owned(),
        ),
        (Some(_), Some(_)) => Good("DATABASE_URL and CAIRN_JWT_SECRET are set".to_owned()),
    }
}

/// Whether the provider of AI answers can be used. Makes no request that costs anything.
async fn provider(config: &Config) -> Verdict {
    let Some(ai) = &config.ai else {
        return Good("CAIRN_AI_BASE_URL is not set: the built-in provider answers by searching the content".to_owned());
    };
    let provider = match Provider::from_config(config) {
        Ok(provider) => provider,
        Err(error) => return Bad(error.to_string()),
    };
    let (name, model) = (provider.name(), &ai.model);
    match provider.check().await {
        Ok(Some(true)) => Good(format!("{name} answers and offers {model}")),
        Ok(Some(false)) => {
            Note(format!("{name} answers but does not list {model}: correct CAIRN_AI_MODEL if it is wrong"))
        }
        Ok(None) => Note(format!("{name} answers but lists no models, so {model} could not be checked")),
        Err(failure) => {
            let fix = match failure.reason {
                Reason::Unreachable => "start it, or correct CAIRN_AI_BASE_URL",
                Reason::Unauthorized => "correct CAIRN_AI_API_KEY",
                Reason::ProviderQuota => "its account has no credit left",
                _ => "replies will wait until it works again",
            };
            Bad(format!("{name} cannot be used ({}: {}): {fix}", failure.reason.code(), failure.detail))
        }
    }
}

/// Whether sources can be found by their meaning.
async fn embeddings(config: &Config) -> Verdict {
    let Some(embeddings) = &config.embeddings else {
        return Good("CAIRN_EMBEDDINGS_BASE_URL is not set: replies find their sources by words alone".to_owned());
    };
    let endpoint = match Embeddings::new(embeddings) {
        Ok(endpoint) => endpoint,
        Err(error) => return Bad(format!("no HTTP client for embeddings: {error}")),
    };
    match endpoint.check().await {
        Ok(dimensions) => Good(format!("{} makes vectors of {dimensions} dimensions", embeddings.model)),
        Err(failure) => {
            let fix = match failure.reason {
                Reason::Unreachable => "start it, or correct CAIRN_EMBEDDINGS_BASE_URL",
                Reason::Unauthorized => "correct CAIRN_EMBEDDINGS_API_KEY",
                Reason::ModelNotFound => "correct CAIRN_EMBEDDINGS_MODEL",
                Reason::ProviderQuota => "its account has no credit left",
                _ => "until it works again, replies find their sources by words alone",
            };
            Bad(format!("the endpoint cannot be used ({}: {}): {fix}", failure.reason.code(), failure.detail))
        }
    }
}

async fn examine(report: &mut Report, database: &Database, connections: u32) -> Result<(), Failure> {
    let Some(mut connection) = connect(report, database).await? else { return Ok(()) };
    let up_to_date = match database.migrations().await {
        Ok(state) if state.pending == 0 => Good(format!("all {} migrations are applied", state.applied)),
        Ok(state) => Bad(format!("{} migrations are pending: run `cairn migrate`", state.pending)),
        Err(Failure::Setup(message) | Failure::Failed(message)) => Bad(message),
        Err(failure) => return Err(failure),
    };
    report.add("role", &role(&mut connection).await)?;
    report.add("migrations", &up_to_date)?;
    report.add("clock", &clock(&mut connection).await)?;
    server(report, &mut connection, connections, matches!(up_to_date, Good(_))).await?;
    pooler(report, database).await?;
    if matches!(up_to_date, Good(_)) {
        report.add("addresses", &addresses(&mut connection).await)?;
        match stored::overview(&mut connection).await {
            Ok(queues) => {
                report.add("jobs", &jobs(&queues))?;
                report.add("dead", &dead(&queues))?;
                report.add("paused", &paused(&queues))?;
                report.add("workers", &workers(&queues))?;
            }
            Err(error) => report.add("jobs", &Bad(error.to_string()))?,
        }
    }
    Ok(())
}
