//! The apalis board, read-only: every method but GET is refused.
//!
//! The pages are those of `apalis-board-api`; this module answers their requests. The crate's own routes, which are built
//! on apalis' traits, are not used: they decode the jobs they list, so one unreadable payload fails its page, they do
//! arithmetic on unchecked page numbers, they do not bound the page size, and they need a second web framework. Behind
//! them, `PostgresStorage` reads the whole table for every number it shows.
//!
//! A list shows its first [`MAX_DEPTH`] jobs, whatever order the pages request, and done jobs are counted up to the same
//! number, because both would cost more the more jobs there are. Two limitations are those of the pages: they draw only the
//! first row of their list of queues (the overview has all queues), and the log of a job stays empty.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use apalis_board_api::ui::ServeUI;
use apalis_core::backend::{QueueInfo, RunningWorker, Statistic};
use cairn_core::db::{self, Connection};
use cairn_core::queue::board::{self, Status};
use cairn_core::queue::queues::{self, QueueState};
use cairn_core::queue::{Queue, inspect};
use cairn_core::refusal::Rejected;
use futures_util::{StreamExt, stream};
use poem::http::{StatusCode, Uri, header};
use poem::web::sse::SSE;
use poem::web::{Data, Json, Path, Query};
use poem::{IntoResponse, Response, Route, get, handler};
use serde::Deserialize;
use serde_json::Value;

use self::answers::{listed, queue_info, running_worker, statistics, task, total};
use crate::health::WorkerHealth;

/// How many jobs of a list can be shown.
const MAX_DEPTH: u32 = 2_000;
/// Most jobs of one page.
const MAX_PAGE_SIZE: u32 = 100;
/// Most workers that are listed.
const MAX_WORKERS: i64 = 1000;
/// How often an open page gets the message that the worker is ready. Without one, the page shows that it is not.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

type HealthData<'a> = Data<&'a Arc<WorkerHealth>>;

/// Adds the pages at `/`, and their API at the paths they expect.
pub(crate) fn add(routes: Route) -> Route {
    routes
        .at("/api/v1/overview", get(get_overview))
        .at("/api/v1/queues", get(list_queues))
        .at("/api/v1/tasks", get(list_tasks))
        .at("/api/v1/workers", get(list_workers))
        .at("/api/v1/events", get(stay_open))
        .at("/api/v1/queues/:queue/stats", get(get_stats))
        .at("/api/v1/queues/:queue/workers", get(list_workers_of))
        .at("/api/v1/queues/:queue/tasks", get(list_tasks_of))
        .at("/api/v1/queues/:queue/tasks/:task_id", get(get_task))
        .at("/", get(show_page))
        .at("/*path", get(show_page))
}

/// A file of the pages. Paths without a dot are client-side routes, for which the page itself is served.
#[handler]
fn show_page(uri: &Uri) -> Response {
    let path = uri.path();
    let file = if path.starts_with("/api/") { None } else { ServeUI::get_file(path) };
    let Some(file) = file else { return StatusCode::NOT_FOUND.into_response() };
    let name = file.path().to_string_lossy();
    Response::builder()
        .content_type(ServeUI::content_type(&name))
        .header(header::CACHE_CONTROL, ServeUI::cache_control(&name).unwrap_or("no-cache"))
        .body(file.contents().to_vec())
}

#[handler]
async fn get_overview(health: HealthData<'_>) -> poem::Result<Json<Vec<Statistic>>> {
    let mut connection = connect(&health).await?;
    let states = queues::overview(&mut connection).await.map_err(unavailable)?;
    let done = board::count_done(&mut connection, None, MAX_DEPTH.into()).await.map_err(unavailable)?;
    Ok(Json(statistics(&total(&states), done)))
}

#[handler]
async fn list_queues(health: HealthData<'_>) -> poem::Result<Json<Vec<QueueInfo>>> {
    let mut connection = connect(&health).await?;
    let states = queues::overview(&mut connection).await.map_err(unavailable)?;
    let workers = queues::workers(&mut connection, None, MAX_WORKERS).await.map_err(unavailable)?;
    let mut infos = Vec::new();
    for queue in Queue::ALL {
        let done = board::count_done(&mut connection, Some(queue), MAX_DEPTH.into()).await.map_err(unavailable)?;
        infos.push(queue_info(&state_of(&states, queue), done, &workers));
    }
    Ok(Json(infos))
}

#[handler]
async fn get_stats(health: HealthData<'_>, Path(queue): Path<String>) -> poem::Result<Json<Vec<Statistic>>> {
    let queue = parse_queue(&queue)?;
    let mut connection = connect(&health).await?;
    let states = queues::overview(&mut connection).await.map_err(unavailable)?;
    let done = board::count_done(&mut connection, Some(queue), MAX_DEPTH.into()).await.map_err(unavailable)?;
    Ok(Json(statistics(&state_of(&states, queue), done)))
}

#[handler]
async fn list_workers(health: HealthData<'_>) -> poem::Result<Json<Vec<RunningWorker>>> {
    let workers = queues::workers(&mut *connect(&health).await?, None, MAX_WORKERS).await.map_err(unavailable)?;
    Ok(Json(workers.iter().map(running_worker).collect()))
}

#[handler]
async fn list_workers_of(health: HealthData<'_>, Path(queue): Path<String>) -> poem::Result<Json<Vec<RunningWorker>>> {
    let queue = parse_queue(&queue)?;
    let workers = queues::workers(&mut *connect(&health).await?, None, MAX_WORKERS).await.map_err(unavailable)?;
    Ok(Json(workers.iter().filter(|worker| worker.queue == queue.name()).map(running_worker).collect()))
}

#[handler]
async fn list_tasks(health: HealthData<'_>, Query(query): Query<ListQuery>) -> poem::Result<Json<Vec<Value>>> {
    list(&health, None, &query).await
}

#[handler]
async fn list_tasks_of(
    health: HealthData<'_>,
    Path(queue): Path<String>,
    Query(query): Query<ListQuery>,
) -> poem::Result<Json<Vec<Value>>> {
    list(&health, Some(parse_queue(&queue)?), &query).await
}

#[handler]
async fn get_task(health: HealthData<'_>, Path((queue, id)): Path<(String, String)>) -> poem::Result<Json<Value>> {
    let queue = parse_queue(&queue)?;
    match inspect::find(&mut *connect(&health).await?, &id).await {
        Ok(job) if job.job.queue == queue.name() => Ok(Json(task(&job))),
        Ok(_) | Err(Rejected::Refused(_)) => {
            Err(poem::Error::from_string("this queue has no job with that id", StatusCode::NOT_FOUND))
        }
        Err(Rejected::Failed(error)) => Err(unavailable(error)),
    }
}

/// A stream of events that stays open for as long as the worker is ready. The pages show the worker's health from it.
#[handler]
fn stay_open(Data(health): HealthData<'_>) -> SSE {
    let health = Arc::clone(health);
    let end = async move {
        while health.unreadiness().await.is_none() {
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        None
    };
    SSE::new(stream::once(end).filter_map(std::future::ready)).keep_alive(CHECK_INTERVAL)
}

/// The parameters of a list that are used. The pages also send the queue again, and an order.
#[derive(Deserialize)]
struct ListQuery {
    page: Option<u32>,
    page_size: Option<u32>,
    #[serde(default)]
    status: String,
    /// Whether the jobs have their payloads. The pages show those one by one.
    payloads: Option<bool>,
}

async fn list(health: &WorkerHealth, queue: Option<Queue>, query: &ListQuery) -> poem::Result<Json<Vec<Value>>> {
    let refuse = |why: String| Err(poem::Error::from_string(why, StatusCode::BAD_REQUEST));
    let (number, size) = (query.page.unwrap_or(1), query.page_size.unwrap_or(15));
    if number == 0 || !(1..=MAX_PAGE_SIZE).contains(&size) {
        return refuse(format!("page must be at least 1, page_size from 1 to {MAX_PAGE_SIZE}"));
    }
    let status = if query.status.is_empty() { Some(Status::Pending) } else { Status::from_name(&query.status) };
    let Some(status) = status else {
        return refuse(format!("status must be one of {}", Status::ALL.map(Status::name).join(", ")));
    };
    let offset = (number - 1).saturating_mul(size);
    if offset >= MAX_DEPTH {
        return Ok(Json(Vec::new()));
    }
    let jobs = board::page(&mut *connect(health).await?, status, queue, size.into(), offset.into()).await;
    let show = if query.payloads.unwrap_or_default() { task } else { listed };
    Ok(Json(jobs.map_err(unavailable)?.iter().map(show).collect()))
}

async fn connect(health: &WorkerHealth) -> poem::Result<Connection> {
    db::acquire(&health.observer).await.map_err(unavailable)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn unavailable(error: cairn_core::Error) -> poem::Error {
    tracing::warn!(error = %error, "cannot show the board");
    poem::Error::from_string("the database does not answer", StatusCode::SERVICE_UNAVAILABLE)
}

fn parse_queue(queue: &str) -> poem::Result<Queue> {
    Queue::from_name(queue).ok_or_else(|| {
        let why = format!("the queues are {}", Queue::ALL.map(Queue::name).join(", "));
        poem::Error::from_string(why, StatusCode::NOT_FOUND)
    })
}

fn state_of(states: &[QueueState], queue: Queue) -> QueueState {
    states.iter().find(|state| state.name == queue.name()).cloned().unwrap_or_default()
}
