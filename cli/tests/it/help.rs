//! Help texts, and errors about usage and configuration.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::Sandbox;

const COMMANDS: [&str; 15] = [
    "dev",
    "migrate",
    "import",
    "adopt",
    "import-legacy",
    "export",
    "admin",
    "invite",
    "jobs",
    "psql",
    "verify",
    "simulate",
    "doctor",
    "openapi",
    "course-schema",
];

#[test]
fn help_describes_every_command() {
    let sandbox = Sandbox::new();
    let help = sandbox.run(&["--help"]);
    let listed: Vec<(&str, &str)> = help
        .ok()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .filter(|(name, _)| *name != "help")
        .collect();
    assert_eq!(listed.iter().map(|(name, _)| *name).collect::<Vec<_>>(), COMMANDS);
    assert!(listed.iter().all(|(_, about)| about.trim().len() > 10), "{listed:?}");
    assert!(help.ok().contains("DATABASE_URL"));
}

#[test]
fn every_command_has_help() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let help = sandbox.run(&[command, "--help"]);
        assert!(help.ok().contains("Usage: cairn"), "{help:?}");
    }
    let options = sandbox.run(&["simulate", "--help"]);
    for option in [
        "--learners",
        "--url",
        "--mentors",
        "--admins",
        "--admin-email",
        "--invite",
        "--seed",
        "--actions-per-learner",
        "--concurrency",
        "--allow-remote",
        "--no-verify",
    ] {
        assert!(options.ok().contains(option), "{option}");
    }
}

#[test]
fn wrong_usage_is_refused_with_code_2() {
    let sandbox = Sandbox::new();
    for args in [
        &["nonsense"][..],
        &["import"],
        &["migrate", "--chekc"],
        &["export", "--format", "xml"],
        &["admin", "create", "--email", "a@b.co"],
        &["admin", "create", "--email", "a@b.co", "--first-name", "A", "--password", "secret"],
        &["invite", "create", "--uses", "0"],
        &["invite", "create", "--role", "owner"],
        &["jobs"],
        &["jobs", "list", "--queue", "nonsense"],
        &["jobs", "list", "--state", "nonsense"],
        &["jobs", "list", "--kind", "nonsense"],
        &["jobs", "list", "--limit", "0"],
        &["jobs", "pause", "nonsense"],
        &["jobs", "retry"],
        &["jobs", "retry", "--all-dead"],
        &["jobs", "retry", "--queue", "likes"],
        &["jobs", "retry", "x", "--queue", "likes", "--all-dead"],
        &["jobs", "discard", "--queue", "likes", "--all-dead", "--state", "due"],
        &["jobs", "discard", "x", "--kind", "count_likes"],
        &["simulate", "--learners", "0"],
        &["simulate", "--url", "nowhere"],
    ] {
        assert_eq!(sandbox.run(args).code, 2, "{args:?}");
    }
}

#[test]
fn wrong_configuration_is_refused_with_code_2_and_without_secrets() {
    let sandbox = Sandbox::new();
    for (key, value, says) in [
        ("CAIRN_NONSENSE", "1", "CAIRN_NONSENSE"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "DATABASE_URL must start with postgres://"),
        ("CAIRN_JWT_SECRET", "hunter2", "CAIRN_JWT_SECRET is shorter"),
    ] {
        for command in ["migrate", "dev"] {
            let mut command = sandbox.command(&[command]);
            command.env(key, value);
            let run = crate::support::finish(command);
            run.fails(2, &[says]);
            assert!(!run.err.contains("hunter2"), "{run:?}");
        }
    }
}

#[test]
fn an_unreachable_database_is_reported_on_one_line_without_its_password() {
    let sandbox = Sandbox::new();
    for command in [&["migrate"][..], &["verify"], &["export"], &["invite", "create"], &["jobs", "stats"]] {
        let mut command = sandbox.command(command);
        command.env("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d");
        let run = crate::support::finish(command);
        run.fails(1, &["refused"]);
        assert!(!run.err.contains("hunter2") && run.err.lines().count() == 1, "{run:?}");
    }
    let mut doctor = sandbox.command(&["doctor"]);
    doctor.env("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d");
    let run = crate::support::finish(doctor);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("FAIL  database") && run.out.contains("127.0.0.1:1"), "{run:?}");
    assert!(!run.out.contains("hunter2"), "{run:?}");
}

/// Answers whoever connects as `PgBouncer` does when it is not told to ignore what drivers ask for. Returns its port.
fn pooler_that_refuses() -> u16 {
    const REFUSAL: &[u8] = b"SFATAL\0C08P01\0Munsupported startup parameter: extra_float_digits\0\0";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = [0; 8192];
            // The request for TLS has eight bytes, and is refused.
            while let Ok(read @ 1..) = socket.read(&mut request) {
                if read == 8 {
                    let _ = socket.write_all(b"N");
                    continue;
                }
                let length = u32::try_from(REFUSAL.len() + 4).unwrap().to_be_bytes();
                let _ = socket.write_all(&[b"E", &length[..], REFUSAL].concat());
                break;
            }
        }
    });
    port
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_correct() {
    let sandbox = Sandbox::with_empty_database().await;
    let database = sandbox.database();
    let postgres = database.admin_url();
    let (role, at) = postgres.split_once("://").unwrap().1.split_once(':').unwrap();
    let host = at.split_once('@').unwrap().1.split_once('/').unwrap().0;
    let server = postgres.rsplit_once('/').unwrap().0;
    for (url, says) in [
        (format!("postgres://nobody-here:hunter2@{host}/postgres"), "cairn migrate --roles"),
        (format!("postgres://{role}:hunter2@{host}/postgres"), "correct the user and the password"),
        (format!("{server}/none-here"), "correct the name of the database"),
        (format!("postgres://u:hunter2@127.0.0.1:{}/d", pooler_that_refuses()), "ignore_startup_parameters"),
    ] {
        for command in [&["migrate", "--check"][..], &["migrate"], &["verify"], &["jobs", "stats"]] {
            let mut command = sandbox.command(command);
            command.env_remove("DATABASE_OWNER_URL").env("DATABASE_URL", &url);
            let run = crate::support::finish(command);
            run.fails(2, &[says]);
            assert!(!run.err.contains("hunter2") && run.err.lines().count() == 1, "{run:?}");
        }
    }
}

#[test]
fn documents_are_printed_without_a_database() {
    let sandbox = Sandbox::new();
    let contract: serde_json::Value = serde_json::from_str(sandbox.run(&["openapi"]).ok()).unwrap();
    assert_eq!(contract["info"]["title"], "Cairn");
    let schema: serde_json::Value = serde_json::from_str(sandbox.run(&["course-schema"]).ok()).unwrap();
    assert_eq!(schema, cairn_core::learning::course::schema());
    assert!(std::fs::read_dir(sandbox.path()).unwrap().next().is_none(), "no files may be left behind");
}

#[test]
fn simulate_refuses_other_machines_by_default() {
    Sandbox::new().run(&["simulate", "--url", "http://example.org"]).fails(2, &["--allow-remote"]);
}
