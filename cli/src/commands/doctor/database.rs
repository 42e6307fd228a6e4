//! What the database is like, and how it is reached.

use std::time::Duration;

use cairn_core::admin::observation::{self, OldestTransaction};
use cairn_core::admin::preflight::{self, Database as Server, Limits};
use cairn_core::admin::{health, verify};
use cairn_core::clock::Clock;
use cairn_core::db::{LOSES_NOTIFICATIONS, connect_options};
use cairn_core::hosts;
use chrono::TimeDelta;
use sqlx::{ConnectOptions, PgConnection};

use super::report::Report;
use super::report::Verdict::{self, Bad, Good, Note};
use crate::database::Database;
use crate::failure::Failure;

/// How far the clocks may differ, in milliseconds.
const SKEW_LIMIT: i64 = 2000;
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a transaction may be open, in seconds. The server cleans up nothing that was deleted since.
const TRANSACTION_LIMIT: f64 = 600.0;
/// What an API and a worker take beside their pools.
const EXTRA_CONNECTIONS: i64 = 15;
/// The share of the server's connections that may be in use.
const CONNECTIONS_LIMIT: f64 = 0.9;

/// Connects as the programs do. `None` if that fails, which is reported.
pub(super) async fn connect(report: &mut Report, database: &Database) -> Result<Option<PgConnection>, Failure> {
    let mut last = None;
    for (what, url) in [("database", database.url()), ("direct", database.direct_url())] {
        let options = hosts::writable(&connect_options(url.expose())?).await;
        let place = format!("{}:{}", options.get_host(), options.get_port());
        let fix = if what == "direct" { "correct DATABASE_DIRECT_URL" } else { "start it, or correct DATABASE_URL" };
        let verdict = match tokio::time::timeout(CONNECT_LIMIT, options.connect()).await {
            Ok(Ok(connection)) => {
                last = Some(connection);
                Good(format!("{place} answers"))
            }
            Ok(Err(error)) => Bad(format!("{place} cannot be used ({error}): {fix}")),
            Err(_) => Bad(format!("{place} does not answer within {CONNECT_LIMIT:?}: {fix}")),
        };
        report.add(what, &verdict)?;
        if matches!(verdict, Bad(_)) {
            return Ok(None);
        }
    }
    Ok(last)
}

/// Whether the keys by which email addresses are compared are those that this program computes.
pub(super) async fn addresses(connection: &mut PgConnection) -> Verdict {
    match verify::foreign_email_keys(connection).await {
        Ok(0) => Good("every email address has the key that this program looks it up by".to_owned()),
        Ok(count) => Bad(format!(
            "{count} accounts cannot sign in, because their email address is stored with another key: `cairn verify` names \
             them; save their addresses again, or give them others"
        )),
        Err(error) => Bad(error.to_string()),
    }
}

/// Whether the role of the programs may do more than it has to. The embedded database has its own.
pub(super) async fn role(connection: &mut PgConnection) -> Verdict {
    let role = match health::role(connection).await {
        Ok(role) => role,
        Err(error) => return Bad(error.to_string()),
    };
    let too_much = match (role.is_superuser, role.owns_schema) {
        (true, _) => "is a superuser",
        (false, true) => "owns the tables, so it can change the schema",
        (false, false) => return Good(format!("{} reads and writes rows and nothing else", role.name)),
    };
    Note(format!("{} {too_much}: give the programs a role of their own with `cairn migrate --roles`", role.name))
}

pub(super) async fn clock(connection: &mut PgConnection) -> Verdict {
    let clock = Clock::default();
    let before = clock.now();
    let theirs = match health::database_time(connection).await {
        Ok(time) => time,
        Err(error) => return Bad(error.to_string()),
    };
    let after = clock.now();
    // The database read its clock somewhere in between.
    let skew = if theirs < before {
        before - theirs
    } else if theirs > after {
        theirs - after
    } else {
        TimeDelta::zero()
    };
    match skew.num_milliseconds() {
        ms if ms > SKEW_LIMIT => Bad(format!("{ms} ms off the database's clock: set up NTP on both machines")),
        ms => Good(format!("{ms} ms off the database's clock")),
    }
}

/// Reports what the server is like; `pool` is the number of connections that each process is configured to use.
pub(super) async fn server(
    report: &mut Report,
    connection: &mut PgConnection,
    pool: u32,
    is_migrated: bool,
) -> Result<(), Failure> {
    let server = match preflight::database(connection).await {
        Ok(server) => server,
        Err(error) => return report.add("server", &Bad(error.to_string())),
    };
    report.add("encoding", &encoding(&server))?;
    report.add("writing", &writing(&server))?;
    let extensions = preflight::extensions(connection).await;
    report.add("extensions", &verdict(extensions, "they are where their functions are found"))?;
    let snapshots = if is_migrated {
        match observation::observe(connection).await {
            Ok(observation) => snapshots(&server, observation.oldest.as_ref()),
            Err(error) => Bad(error.to_string()),
        }
    } else {
        Note("transactions of others can be seen once the database is migrated".to_owned())
    };
    report.add("snapshots", &snapshots)?;
    report.add("bloat", &bloat(&server))?;
    report.add("budget", &connections(&server, pool))
}

/// Reports what poolers may break.
pub(super) async fn pooler(report: &mut Report, database: &Database) -> Result<(), Failure> {
    let pool = hosts::writable(&connect_options(database.url().expose())?).await;
    let direct = hosts::writable(&connect_options(database.direct_url().expose())?).await;
    let notifications = match preflight::notifications_arrive(&pool, &direct).await {
        Ok(true) => Good("what is sent arrives".to_owned()),
        Ok(false) => Bad(LOSES_NOTIFICATIONS.to_owned()),
        Err(error) => Bad(error.to_string()),
    };
    report.add("notify", &notifications)?;
    let statements = match preflight::statements_stay_prepared(&pool).await {
        Ok(true) => Good("they can be executed whenever they were prepared".to_owned()),
        Ok(false) => Bad(preflight::LOSES_STATEMENTS.to_owned()),
        Err(error) => Bad(error.to_string()),
    };
    report.add("statements", &statements)?;
    // A pooler that loses statements would lose this one as well.
    if matches!(statements, Good(_)) {
        let path = async { preflight::search_path(&mut cairn_core::db::connect(&pool).await?).await };
        report.add("schema", &verdict(path.await, "tables are found in the schema public"))?;
    }
    let options = match preflight::limits(&pool).await {
        Ok(Limits::Options) => Good("the limits of connections are in force".to_owned()),
        Ok(Limits::Role) => Good("the pooler drops them, and the role has a statement_timeout of its own".to_owned()),
        Ok(Limits::None) => Note(
            "the pooler drops them, so single statements have no limits: ALTER ROLE ... SET statement_timeout, see \
             docs/RUNNING.md"
                .to_owned(),
        ),
        Err(error) => Bad(error.to_string()),
    };
    report.add("options", &options)
}

/// Reports a fault in its own words.
fn verdict(fault: cairn_core::Result<Option<String>>, otherwise: &str) -> Verdict {
    match fault {
        Ok(Some(fault)) => Bad(fault),
        Ok(None) => Good(otherwise.to_owned()),
        Err(error) => Bad(error.to_string()),
    }
}

fn encoding(server: &Server) -> Verdict {
    match preflight::unsuitable(server) {
        Some(reason) => Bad(reason),
        None => Good(format!("{}, version {}, locale {}", server.encoding, server.version / 10_000, server.ctype)),
    }
}

fn writing(server: &Server) -> Verdict {
    if server.is_read_only {
        return Bad("the database is read-only: it is a standby, or default_transaction_read_only is on; correct DATABASE_URL, or \
                    promote it"
            .to_owned());
    }
    Good("the database can be written to".to_owned())
}

fn snapshots(server: &Server, oldest: Option<&OldestTransaction>) -> Verdict {
    if let Some(holder) = server.holders.first() {
        return Note(format!(
            "{holder} keeps the server from cleaning up, so queries become slower and the disk fills: drop it if nobody needs it"
        ));
    }
    match oldest {
        Some(OldestTransaction { seconds, application, state }) if *seconds > TRANSACTION_LIMIT => Note(format!(
            "{application} has had a transaction open for {seconds:.0} s ({state}), and meanwhile the server cleans up nothing: end \
             it if it hangs, with SELECT pg_terminate_backend(PID)"
        )),
        _ => Good("no transaction has been open for long".to_owned()),
    }
}

fn bloat(server: &Server) -> Verdict {
    match &server.bloated {
        Some(table) => Note(format!(
            "{table}: if its autovacuum does not keep up, give it more (autovacuum_vacuum_cost_limit), and see docs/RUNBOOK.md"
        )),
        None => Good("no table has many dead rows".to_owned()),
    }
}

fn connections(server: &Server, pool: u32) -> Verdict {
    let (used, all) = (server.connections, i64::from(server.max_connections));
    let text = format!("{used} of the server's {all} connections are in use");
    // One API and one worker, as docs/RUNNING.md counts them.
    let needed = 2 * i64::from(pool) + EXTRA_CONNECTIONS;
    let fix = "lower CAIRN_DATABASE_CONNECTIONS, or use PgBouncer";
    if let Some(limit) = server.own_limit.map(i64::from).filter(|limit| *limit < needed) {
        return Note(format!(
            "the role or the database may have {limit} connections, and an API and a worker with this configuration take up to \
             {needed}: raise the limit, {fix}"
        ));
    }
    if all < needed {
        return Note(format!(
            "the server has {all} connections for all, and an API and a worker with this configuration take up to {needed}: raise \
             max_connections, {fix}"
        ));
    }
    #[expect(clippy::cast_precision_loss, reason = "there are never so many connections")]
    if used as f64 > all as f64 * CONNECTIONS_LIMIT {
        return Note(format!("{text}: raise max_connections, {fix}"));
    }
    Good(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Server {
        Server {
            encoding: "UTF8".to_owned(),
            ctype: "C.UTF-8".to_owned(),
            version: 150_014,
            is_read_only: false,
            max_connections: 97,
            connections: 20,
            holders: Vec::new(),
            own_limit: None,
            bloated: None,
        }
    }

    #[test]
    fn each_fault_of_a_server_is_told_with_its_fix() {
        let oldest =
            |seconds| OldestTransaction { seconds, application: "psql".into(), state: "idle in transaction".into() };
        let all = |server: &Server| {
            let snapshots = snapshots(server, Some(&oldest(3.0)));
            [encoding(server), writing(server), snapshots, bloat(server), connections(server, 10)]
        };
        assert!(matches!(snapshots(&healthy(), Some(&oldest(601.0))), Note(text) if text.contains("psql has had")));
        assert!(all(&healthy()).iter().all(|verdict| matches!(verdict, Good(_))));
        for (server, fix) in [
            (Server { encoding: "LATIN1".to_owned(), ..healthy() }, "ENCODING 'UTF8'"),
            (Server { version: 130_012, ..healthy() }, "14 or newer"),
            (Server { is_read_only: true, ..healthy() }, "promote it"),
            (Server { holders: vec!["replication slot old".to_owned()], ..healthy() }, "drop it"),
            (Server { connections: 95, ..healthy() }, "max_connections"),
            (Server { max_connections: 20, ..healthy() }, "take up to 35"),
            (Server { own_limit: Some(12), ..healthy() }, "may have 12 connections"),
            (Server { bloated: Some("jobs has 200000 dead rows".to_owned()), ..healthy() }, "autovacuum"),
        ] {
            let said: Vec<String> = all(&server)
                .into_iter()
                .filter_map(|verdict| match verdict {
                    Bad(text) | Note(text) => Some(text),
                    Good(_) => None,
                })
                .collect();
            assert!(said.len() == 1 && said[0].contains(fix), "{said:?}");
        }
    }
}
