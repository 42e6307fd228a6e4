//! The apalis board, for looking only: every method but GET is refused.
//!
//! The pages are those of `apalis-board-api`; what they ask for is answered here. The crate's own routes would do it
//! over apalis' traits, but they decode what they list, so that one odd payload fails its page, they subtract from
//! whatever page number they are sent, they take no bound on its size, and they bring a second web framework. Behind
//! them, `PostgresStorage` reads the whole table for every number it shows.
//!
//! Shown are the first [`DEPTH`] jobs of a list, whatever order the pages ask for, and counts of what is done go as far:
//! more would cost the more the more there is. Two things are the pages' own: they draw only the first row of their list of
//! queues (the overview has them all), and the log of a job stays empty, because nothing is sent there.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use apalis_board_api::ui::ServeUI;
use apalis_core::backend::{QueueInfo, RunningWorker, Statistic};
use cairn_core::queue::Queue;
use cairn_core::queue::board::{self, Status};
use cairn_core::queue::queues::{self, QueueState};
use futures_util::{StreamExt, stream};
use poem::http::{StatusCode, Uri, header};
use poem::web::sse::SSE;
use poem::web::{Data, Json, Path, Query};
use poem::{IntoResponse, Response, Route, get, handler};
use serde::Deserialize;
use serde_json::Value;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use self::answers::{queue_info, running_worker, statistics, task, total};
use crate::vitals::Vitals;

/// How far into a list one can look.
const DEPTH: u32 = 2_000;
/// Most jobs of one page.
const PAGE: u32 = 100;
/// Most workers that are shown.
const WORKERS: i64 = 1000;
/// How often an open page is told that the worker is well, and by its silence that it is not.
const CHECK: Duration = Duration::from_secs(5);

type Eyes<'a> = Data<&'a Arc<Vitals>>;

/// Adds the pages at `/`, and their API where they expect it.
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

/// A file of the pages. Paths without a dot are places within them, which they find themselves.
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
async fn get_overview(vitals: Eyes<'_>) -> poem::Result<Json<Vec<Statistic>>> {
    let mut connection = connect(&vitals).await?;
    let states = queues::overview(&mut connection).await.map_err(unavailable)?;
    let done = board::count_done(&mut connection, None, DEPTH.into()).await.map_err(unavailable)?;
    Ok(Json(statistics(&total(&states), done)))
}

#[handler]
async fn list_queues(vitals: Eyes<'_>) -> poem::Result<Json<Vec<QueueInfo>>> {
    let mut connection = connect(&vitals).await?;
    let states = queues::overview(&mut connection).await.map_err(unavailable)?;
    let workers = queues::workers(&mut connection, None, WORKERS).await.map_err(unavailable)?;
    let mut infos = Vec::new();
    for queue in Queue::ALL {
        let done = board::count_done(&mut connection, Some(queue), DEPTH.into()).await.map_err(unavailable)?;
        infos.push(queue_info(&state_of(&states, queue), done, &workers));
    }
    Ok(Json(infos))
}

#[handler]
async fn get_stats(vitals: Eyes<'_>, Path(queue): Path<String>) -> poem::Result<Json<Vec<Statistic>>> {
    let queue = known(&queue)?;
    let mut connection = connect(&vitals).await?;
    let states = queues::overview(&mut connection).await.map_err(unavailable)?;
    let done = board::count_done(&mut connection, Some(queue), DEPTH.into()).await.map_err(unavailable)?;
    Ok(Json(statistics(&state_of(&states, queue), done)))
}

#[handler]
async fn list_workers(vitals: Eyes<'_>) -> poem::Result<Json<Vec<RunningWorker>>> {
    let workers = queues::workers(&mut *connect(&vitals).await?, None, WORKERS).await.map_err(unavailable)?;
    Ok(Json(workers.iter().map(running_worker).collect()))
}

#[handler]
async fn list_workers_of(vitals: Eyes<'_>, Path(queue): Path<String>) -> poem::Result<Json<Vec<RunningWorker>>> {
    let queue = known(&queue)?;
    let workers = queues::workers(&mut *connect(&vitals).await?, None, WORKERS).await.map_err(unavailable)?;
    Ok(Json(workers.iter().filter(|worker| worker.queue == queue.name()).map(running_worker).collect()))
}

#[handler]
async fn list_tasks(vitals: Eyes<'_>, Query(slice): Query<Slice>) -> poem::Result<Json<Vec<Value>>> {
    list(&vitals, None, &slice).await
}

#[handler]
async fn list_tasks_of(
    vitals: Eyes<'_>,
    Path(queue): Path<String>,
    Query(slice): Query<Slice>,
) -> poem::Result<Json<Vec<Value>>> {
    list(&vitals, Some(known(&queue)?), &slice).await
}

#[handler]
async fn get_task(vitals: Eyes<'_>, Path((queue, id)): Path<(String, String)>) -> poem::Result<Json<Value>> {
    let job = board::find(&mut *connect(&vitals).await?, known(&queue)?, &id).await.map_err(unavailable)?;
    let job = job.ok_or_else(|| poem::Error::from_string("no job of this queue has that id", StatusCode::NOT_FOUND))?;
    Ok(Json(task(&job)))
}

/// Stays open, and silent, for as long as the worker is ready: the pages show from it whether it is well.
#[handler]
fn stay_open(Data(vitals): Eyes<'_>) -> SSE {
    let vitals = Arc::clone(vitals);
    let end = async move {
        while vitals.unreadiness().await.is_none() {
            tokio::time::sleep(CHECK).await;
        }
        None
    };
    SSE::new(stream::once(end).filter_map(std::future::ready)).keep_alive(CHECK)
}

/// What the pages ask for. They also name a queue, again, and an order.
#[derive(Deserialize)]
struct Slice {
    page: Option<u32>,
    page_size: Option<u32>,
    #[serde(default)]
    status: String,
}

async fn list(vitals: &Vitals, queue: Option<Queue>, slice: &Slice) -> poem::Result<Json<Vec<Value>>> {
    let refuse = |why: String| Err(poem::Error::from_string(why, StatusCode::BAD_REQUEST));
    let (number, size) = (slice.page.unwrap_or(1), slice.page_size.unwrap_or(15));
    if number == 0 || !(1..=PAGE).contains(&size) {
        return refuse(format!("page must be at least 1, page_size from 1 to {PAGE}"));
    }
    let status = if slice.status.is_empty() { Some(Status::Pending) } else { Status::from_name(&slice.status) };
    let Some(status) = status else {
        return refuse(format!("status must be one of {}", Status::ALL.map(Status::name).join(", ")));
    };
    let offset = (number - 1).saturating_mul(size);
    if offset >= DEPTH {
        return Ok(Json(Vec::new()));
    }
    let jobs = board::page(&mut *connect(vitals).await?, status, queue, size.into(), offset.into()).await;
    Ok(Json(jobs.map_err(unavailable)?.iter().map(task).collect()))
}

async fn connect(vitals: &Vitals) -> poem::Result<PoolConnection<Postgres>> {
    vitals.observer.acquire().await.map_err(|error| unavailable(error.into()))
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn unavailable(error: cairn_core::Error) -> poem::Error {
    tracing::warn!(error = %error, "the board cannot be shown");
    poem::Error::from_string("the database does not answer", StatusCode::SERVICE_UNAVAILABLE)
}

fn known(queue: &str) -> poem::Result<Queue> {
    Queue::from_name(queue).ok_or_else(|| {
        let why = format!("queues are {}", Queue::ALL.map(Queue::name).join(", "));
        poem::Error::from_string(why, StatusCode::NOT_FOUND)
    })
}

fn state_of(states: &[QueueState], queue: Queue) -> QueueState {
    states.iter().find(|state| state.name == queue.name()).cloned().unwrap_or_default()
}
