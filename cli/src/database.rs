//! The database a command works on: the one in `DATABASE_URL`, or the embedded one.

use std::path::Path;

use cairn_core::admin::preflight;
use cairn_core::config::{Config, Secret};
use cairn_core::db::{
    APPLICATION, DatabaseUrl, Db, MigrateError, Migrations, OWNER, Purpose, Role, connect, connect_options,
    create_roles, migrate, migrations_on,
};
use cairn_core::hosts;
use cairn_postgres::{Durability, Options, Server, role_url};
use sqlx::Connection;
use sqlx::postgres::PgConnectOptions;

use crate::failure::Failure;
use crate::output::report;

/// The name of the database on the embedded server.
const NAME: &str = "cairn";

/// What a database has to be fit for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is written.
    Check,
    /// Roles are created, which get the rights that they need.
    Roles,
    /// Migrations are applied.
    Migrations,
}

/// Fails if a database does not suit Cairn.
pub(crate) async fn refuse_unsuitable(options: &PgConnectOptions, step: Step) -> Result<(), Failure> {
    let mut connection = connect(&hosts::writable(options).await).await?;
    let database = preflight::database(&mut connection).await?;
    if let Some(reason) = preflight::unsuitable(&database) {
        return Err(Failure::setup(reason));
    }
    if database.is_read_only && step != Step::Check {
        let urls = if step == Step::Roles { "DATABASE_ADMIN_URL" } else { "DATABASE_OWNER_URL or DATABASE_URL" };
        return Err(Failure::failed(format!("the database is read-only: correct {urls}, or promote it")));
    }
    if let Some(fault) = preflight::search_path(&mut connection).await? {
        return Err(Failure::setup(fault));
    }
    if let Some(fault) = preflight::extensions(&mut connection).await? {
        return Err(Failure::setup(fault));
    }
    if step == Step::Migrations
        && let Some(missing) = preflight::missing_rights(&mut connection).await?
    {
        return Err(Failure::setup(missing));
    }
    connection.close().await.map_err(cairn_core::Error::from)?;
    Ok(())
}

/// The role in a URL, of whose hosts any will do: roles are the same on all.
pub(crate) fn role(url: &Secret) -> Result<Role, Failure> {
    let url = DatabaseUrl::parse(url.expose()).map_err(|fault| Failure::setup(format!("a database URL {fault}")))?;
    Ok(Role::from_url(&url.urls[0])?)
}

/// A database, and the embedded server behind it, if any, which lives as long.
pub(crate) struct Database {
    url: Secret,
    direct_url: Secret,
    /// The URL of the owner of the schema, where that is another role.
    owner_url: Option<Secret>,
    connections: u32,
    server: Option<Server>,
}

/// Whether the embedded server may be shared with another process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// This process runs the server, and no other process may be running it.
    Alone,
    /// A server that another process runs is used; otherwise one is started for the duration of this command.
    Shared,
}

impl Database {
    /// Opens the configured database, or the embedded one, without looking at its contents. Only `cairn dev`, which has it
    /// alone, makes the embedded one; whoever shares it is told which database it is.
    pub(crate) async fn open(config: &Config, data_dir: &Path, sharing: Sharing) -> Result<Self, Failure> {
        let connections = config.database_connections;
        if let Some(url) = config.database_url.clone() {
            let direct_url = config.require_direct_url()?.clone();
            return Ok(Self {
                url,
                direct_url,
                owner_url: config.database_owner_url.clone(),
                connections,
                server: None,
            });
        }
        let cluster = data_dir.join("postgres");
        if sharing == Sharing::Shared {
            if !cluster.exists() {
                return Err(Failure::setup(format!(
                    "DATABASE_URL is not set, and there is no embedded database in {}: set DATABASE_URL, or make \
                     one with `cairn dev`",
                    cluster.display()
                )));
            }
            report(&format!(
                "cairn: DATABASE_URL is not set, so this is the embedded database in {}",
                cluster.display()
            ));
        }
        let mut options = Options::new(cluster, Durability::Full);
        options.reuse = sharing == Sharing::Shared;
        let server = Server::start(options).await?;
        server.create_database_if_missing(NAME).await?;
        let administrator = connect_options(&server.url(NAME))?;
        let [owner, application] = [OWNER, APPLICATION].map(|role| role_url(&server.url(NAME), role));
        let roles = (Role::from_url(&owner)?, Role::from_url(&application)?);
        let url = Secret::new(application);
        let owner_url = Some(Secret::new(owner));
        let database = Self { direct_url: url.clone(), url, owner_url, connections, server: Some(server) };
        let created = create_roles(&administrator, &roles.0, &roles.1).await;
        created.map_err(|error| database.migration_failure(error))?;
        Ok(database)
    }

    /// Opens the database and makes sure it is migrated: the embedded one is migrated here, another one must be already.
    pub(crate) async fn ready(config: &Config, data_dir: &Path) -> Result<Self, Failure> {
        let database = Self::open(config, data_dir, Sharing::Shared).await?;
        if database.is_embedded() {
            database.migrate().await?;
        } else {
            let pending = database.migrations().await?.pending;
            if pending > 0 {
                return Err(Failure::setup(format!(
                    "the database has {pending} pending migrations: run `cairn migrate`"
                )));
            }
        }
        Ok(database)
    }

    /// Whether this is the embedded database of `cairn dev`.
    pub(crate) fn is_embedded(&self) -> bool {
        self.server.is_some()
    }

    /// The directory of the embedded server's own programs.
    pub(crate) fn programs(&self) -> Option<&Path> {
        self.server.as_ref().and_then(Server::programs)
    }

    /// The URL for a pool.
    pub(crate) fn url(&self) -> &Secret {
        &self.url
    }

    /// The URL for session connections.
    pub(crate) fn direct_url(&self) -> &Secret {
        &self.direct_url
    }

    /// Brings the schema up to date, and lets the programs use it.
    pub(crate) async fn migrate(&self) -> Result<Migrations, Failure> {
        self.check_suitable(Step::Migrations).await?;
        let application = self.owner_url.is_some().then(|| role(&self.url)).transpose()?;
        let owner = hosts::writable(&connect_options(self.owner_url().expose())?).await;
        let migrated = migrate(&owner, application.as_ref()).await;
        migrated.map_err(|error| self.migration_failure(error))
    }

    /// Fails if the database does not suit Cairn, before anything is written to it.
    pub(crate) async fn check_suitable(&self, step: Step) -> Result<(), Failure> {
        refuse_unsuitable(&connect_options(self.owner_url().expose())?, step).await
    }

    /// Which migrations are applied and pending.
    pub(crate) async fn migrations(&self) -> Result<Migrations, Failure> {
        let options = hosts::writable(&connect_options(self.owner_url().expose())?).await;
        let state = migrations_on(&mut connect(&options).await?).await;
        state.map_err(|error| self.migration_failure(error))
    }

    /// The URL of the role that owns the schema, for session connections.
    pub(crate) fn owner_url(&self) -> &Secret {
        self.owner_url.as_ref().unwrap_or(&self.direct_url)
    }

    /// For an embedded database from before the first release, the advice is to delete it: it holds only a demonstration.
    fn migration_failure(&self, error: MigrateError) -> Failure {
        match (&self.server, error) {
            (Some(server), MigrateError::Squashed(_)) => Failure::setup(format!(
                "the embedded database was created before the first release of Cairn and cannot be migrated, so it was \
                 left unchanged: delete {} to start with a new one",
                server.root().display()
            )),
            (_, error) => error.into(),
        }
    }

    /// Opens a pool of connections.
    pub(crate) fn connect(&self) -> Result<Db, Failure> {
        Ok(Db::connect(self.url.expose(), self.direct_url.expose(), self.connections)?)
    }

    /// Opens a pool of connections for commands of operators, which may read or write everything at once.
    pub(crate) fn connect_for_maintenance(&self) -> Result<Db, Failure> {
        Ok(self.connect()?.for_purpose(Purpose::Maintenance))
    }

    /// Shuts the embedded server down, if this command started it.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self.server {
            Some(server) => Ok(server.stop().await?),
            None => Ok(()),
        }
    }
}
