//! `cairn dev`: the whole platform in this process.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cairn_core::admin::demo;
use cairn_core::clock::Clock;
use cairn_core::config::{Config, Secret};
use cairn_core::db::Db;
use cairn_core::learning::course::parse;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::rules::Password;
use tokio_util::sync::CancellationToken;

use super::import::import_all;
use crate::database::{Database, Sharing};
use crate::failure::Failure;
use crate::output::{print, tell};

const DEMO_COURSE: &str = include_str!("../../demo/course.yaml");

pub(crate) async fn run(mut config: Config, data_dir: &Path) -> Result<(), Failure> {
    quiet_notices(&mut config);
    cairn_core::telemetry::init(&config);
    let shutdown = cairn_api::shutdown_signal()?;
    // First, because a taken port is the most likely reason to end here.
    let api = cairn_api::listen(config.api_addr).await?;
    let ops_addr = config.ops_addr.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9090)));
    let ops = cairn_api::listen(ops_addr).await?;
    let addresses = (api.local_addr()?, ops.local_addr()?);
    std::fs::create_dir_all(data_dir)
        .map_err(|error| Failure::setup(format!("cannot create {}: {error}", data_dir.display())))?;
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
    furnish(&db, database.is_embedded()).await?;
    print(&banner(addresses, database.is_embedded()))?;

    let served = serve(&config, &database, db, api, ops, shutdown).await;
    database.close().await?;
    served
}

/// Runs API and worker until `shutdown`, or until one of them breaks down. Ends the API first, so that nothing new is
/// accepted while the worker drains.
async fn serve(
    config: &Config,
    database: &Database,
    db: Db,
    api: tokio::net::TcpListener,
    ops: tokio::net::TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // A pool of its own, so that a busy worker takes no connection from requests.
    let worker_db = database.connect()?;
    let worker_stop = CancellationToken::new();
    let (worker_config, worker_token) = (config.clone(), worker_stop.clone());
    let worker_pool = worker_db.clone();
    let mut worker = tokio::spawn(async move { cairn_worker::run(&worker_config, worker_pool, worker_token).await });

    let api_stop = shutdown.child_token();
    let api = cairn_api::serve(config, db.clone(), api, api_stop.clone());
    let ops = cairn_api::serve_ops(db.clone(), ops, api_stop.clone());
    let both = async { tokio::try_join!(api, ops) };
    tokio::pin!(both);
    let mut worker_ended = None;
    let served = tokio::select! {
        served = &mut both => served,
        ended = &mut worker => {
            worker_ended = Some(ended);
            api_stop.cancel();
            both.await
        }
    };
    worker_stop.cancel();
    let broke_down = worker_ended.is_some();
    let worker_ended = match worker_ended {
        Some(ended) => ended,
        None => worker.await,
    };
    worker_db.close().await;
    db.close().await;
    served?;
    worker_ended.map_err(cairn_core::Error::from)??;
    if broke_down {
        return Err(Failure::failed("the worker ended by itself; its log says why"));
    }
    tell("stopped");
    Ok(())
}

/// Statements such as `CREATE … IF NOT EXISTS` make Postgres talk; what it says is of no use here.
fn quiet_notices(config: &mut Config) {
    if config.log == "info" {
        "info,sqlx::postgres::notice=warn".clone_into(&mut config.log);
    }
}

/// The key of the access tokens, generated once and readable by this user only.
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
        return Err(Failure::setup(format!("{} does not hold a key: delete it to get a new one", file.display())));
    }
    Ok(Secret::new(text.trim()))
}

/// Puts in what makes the platform worth a look: the demo course where there is nothing to learn, and, in our own
/// database only, accounts and an invite.
async fn furnish(db: &Db, embedded: bool) -> Result<(), Failure> {
    let mut connection = db.pool().acquire().await.map_err(cairn_core::Error::from)?;
    let bare = demo::nothing_to_learn(&mut connection).await?;
    let nobody = demo::nobody_is_here(&mut connection).await?;
    if bare {
        let course = parse(DEMO_COURSE).map_err(|problems| {
            Failure::failed(format!(
                "the demo course is broken: {}",
                problems.first().map_or_else(String::new, ToString::to_string)
            ))
        })?;
        import_all(db, &[course], false).await?;
    }
    if !embedded {
        return Ok(());
    }
    demo::renew_invite(&mut connection).await?;
    if nobody && let Some(password) = Password::parse(demo::PASSWORD) {
        let hash = Passwords::default().hash(&password).await?;
        let mut tx = db.begin().await?;
        demo::create_accounts(&mut tx, &Clock::default(), &hash).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn banner((api, ops): (SocketAddr, SocketAddr), embedded: bool) -> String {
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
        "  database    the one of DATABASE_URL; it gets no demo accounts: `cairn admin create`, `cairn invite create`\n"
            .to_owned()
    };
    format!(
        "\nCairn is running.\n\n  API         http://{api}/v1\n  try it out  http://{api}/docs\n  health      \
         http://{ops}/health/ready\n{who}\nStop with Ctrl-C.\n\n"
    )
}
