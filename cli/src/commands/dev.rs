//! `cairn dev`: the whole platform in one process.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use cairn_core::config::{Config, LOCAL_ORIGINS, OPS_API, Secret};
use cairn_core::db::Db;
use cairn_core::learning::catalog;
use cairn_core::learning::course::parse;
use cairn_core::users::password_rules::Password;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::{accounts, invites};
use cairn_core::{shutdown, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::import::import_all;
use crate::database::{Database, Sharing};
use crate::demo;
use crate::failure::Failure;
use crate::output::{print, report};

const DEMO_COURSE: &str = include_str!("../../demo/course.yaml");

/// Within which the process has ended after it was asked to stop, whatever hangs. The worker may drain, and the database has
/// to be shut down.
const STOP_LIMIT: Duration = Duration::from_mins(2);

pub(crate) async fn run(mut config: Config, data_dir: &Path) -> Result<(), Failure> {
    quiet_notices(&mut config);
    let traces = telemetry::init_service(&config, "cairn")?;
    let ran = run_platform(config, data_dir).await;
    traces.flush().await;
    ran
}

async fn run_platform(mut config: Config, data_dir: &Path) -> Result<(), Failure> {
    let shutdown = shutdown::on_signal(STOP_LIMIT)?;
    // Ports are bound first, because a port in use is the most likely failure.
    let listeners = Listeners::bind(&config).await?;
    let addresses = [&listeners.api, &listeners.api_ops, &listeners.worker_ops].map(TcpListener::local_addr);
    std::fs::create_dir_all(data_dir)
        .map_err(|error| Failure::setup(format!("cannot create {}: {error}", data_dir.display())))?;
    if config.cors_origins.is_empty() {
        // Front ends in development run on other ports of the same machine.
        config.cors_origins.push(LOCAL_ORIGINS.to_owned());
    }
    if config.jwt_secret.is_none() {
        config.jwt_secret = Some(token_key(&data_dir.join("jwt-secret"))?);
    }

    let database = tokio::select! {
        database = Database::open(&config, data_dir, Sharing::Alone) => database?,
        () = shutdown.cancelled() => return Ok(()),
    };
    database.migrate().await?;
    config.database_url = Some(database.url().clone());
    config.database_direct_url = Some(database.direct_url().clone());
    let db = database.connect()?;
    seed(&db, database.is_embedded()).await?;
    let [api, api_ops, worker_ops] = addresses;
    print(&banner([api?, api_ops?, worker_ops?], database.is_embedded()))?;

    let served = serve(&config, &database, db, listeners, shutdown).await;
    database.close().await?;
    served
}

/// The ports of the platform. The worker's ops port is the one after the API's.
struct Listeners {
    api: TcpListener,
    api_ops: TcpListener,
    worker_ops: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, Failure> {
        let api_ops = config.ops_addr.unwrap_or(OPS_API);
        // Port 0 means any free port.
        let next = if api_ops.port() == 0 { Some(0) } else { api_ops.port().checked_add(1) };
        let next = next.ok_or_else(|| {
            Failure::setup(
                "CAIRN_OPS_ADDR: the worker uses the next port, and there is none after 65535: choose a lower one",
            )
        })?;
        Ok(Self {
            api: cairn_api::listen(config.api_addr).await?,
            api_ops: cairn_api::listen(api_ops).await?,
            worker_ops: cairn_api::listen(SocketAddr::new(api_ops.ip(), next)).await?,
        })
    }
}

/// Runs the API and the worker until `shutdown`, or until one of them fails. The API is stopped first, so that no new work
/// is accepted while the worker drains.
async fn serve(
    config: &Config,
    database: &Database,
    db: Db,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // A separate pool, so that a busy worker takes no connections from requests.
    let worker_db = database.connect()?;
    let worker_stop = CancellationToken::new();
    let (worker_config, worker_token) = (config.clone(), worker_stop.clone());
    let (worker_pool, worker_ops) = (worker_db.clone(), listeners.worker_ops);
    let mut worker =
        tokio::spawn(async move { cairn_worker::serve(&worker_config, worker_pool, worker_ops, worker_token).await });

    let api_stop = shutdown.child_token();
    let api = cairn_api::serve(config, db.clone(), listeners.api, listeners.api_ops, api_stop.clone());
    tokio::pin!(api);
    let mut worker_ended = None;
    let served = tokio::select! {
        served = &mut api => served,
        ended = &mut worker => {
            worker_ended = Some(ended);
            api_stop.cancel();
            api.await
        }
    };
    worker_stop.cancel();
    let worker_failed = worker_ended.is_some();
    let worker_ended = match worker_ended {
        Some(ended) => ended,
        None => worker.await,
    };
    worker_db.close().await;
    db.close().await;
    served?;
    worker_ended.map_err(cairn_core::Error::from)??;
    if worker_failed {
        return Err(Failure::failed("the worker ended unexpectedly: see its log"));
    }
    report("stopped");
    Ok(())
}

/// Hides the notices of Postgres about statements such as `CREATE … IF NOT EXISTS`, which are of no use here.
fn quiet_notices(config: &mut Config) {
    if config.log == "info" {
        "info,sqlx::postgres::notice=warn".clone_into(&mut config.log);
    }
}

/// The key for access tokens. It is generated once, and only this user can read it.
fn token_key(file: &Path) -> Result<Secret, Failure> {
    let cannot = |error: std::io::Error| Failure::setup(format!("cannot use {}: {error}", file.display()));
    let key = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut created) => {
            std::io::Write::write_all(&mut created, key.as_bytes()).map_err(cannot)?;
            return Ok(Secret::new(key));
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(error)),
    }
    let text = std::fs::read_to_string(file).map_err(cannot)?;
    if text.trim().len() < 32 {
        return Err(Failure::setup(format!(
            "{} does not contain a key: delete it to have a new one generated",
            file.display()
        )));
    }
    Ok(Secret::new(text.trim()))
}

/// Adds the demo course if there is no course yet, and, in the embedded database only, demo accounts and an invite.
async fn seed(db: &Db, embedded: bool) -> Result<(), Failure> {
    let mut connection = db.acquire().await?;
    let bare = catalog::has_no_roadmaps(&mut connection).await?;
    let nobody = accounts::has_no_users(&mut connection).await?;
    if bare {
        let course = parse(DEMO_COURSE).map_err(|problems| {
            Failure::failed(format!(
                "the demo course is invalid: {}",
                problems.first().map_or_else(String::new, ToString::to_string)
            ))
        })?;
        import_all(db, &[course], false).await?;
    }
    if !embedded {
        return Ok(());
    }
    invites::renew(&mut connection, demo::INVITE_CODE).await?;
    if nobody && let Ok(password) = Password::parse(demo::PASSWORD) {
        let hash =
            Passwords::patient().hash(&password).await.map_err(|rejected| Failure::failed(rejected.to_string()))?;
        let mut tx = db.begin().await?;
        demo::create_accounts(&mut tx, &hash).await.map_err(|rejected| Failure::failed(rejected.to_string()))?;
        tx.commit().await?;
    }
    Ok(())
}

fn banner([api, api_ops, worker_ops]: [SocketAddr; 3], embedded: bool) -> String {
    let who = if embedded {
        let accounts: Vec<&str> = demo::ACCOUNTS.iter().map(|(email, _, _)| *email).collect();
        format!(
            "  sign in     {}\n  password    {}\n  invite      {}\n  try         curl -s http://{api}/v1/auth/login \
             --json '{{\"email\":\"learner@demo.test\",\"password\":\"{}\"}}'\n",
            accounts.join(", "),
            demo::PASSWORD,
            demo::INVITE_CODE,
            demo::PASSWORD
        )
    } else {
        "  database    from DATABASE_URL, without demo accounts: see `cairn admin create`, `cairn invite create`\n"
            .to_owned()
    };
    format!(
        "\nCairn is running.\n\n  API         http://{api}/v1\n  try it out  http://{api}/docs\n  queues      \
         http://{worker_ops}/\n  health      http://{api_ops}/health/ready, http://{worker_ops}/health/ready\n  \
         metrics     http://{api_ops}/metrics, http://{worker_ops}/metrics\n{who}\nStop with Ctrl-C.\n\n"
    )
}
