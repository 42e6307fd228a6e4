//! `cairn invite`: creates codes to register with.

use std::path::Path;

use cairn_core::actor::Role;
use cairn_core::clock::Clock;
use cairn_core::config::Config;
use cairn_core::users::invites::{NewInvite, create};
use chrono::TimeDelta;

use crate::database::Database;
use crate::failure::Failure;
use crate::output::{print_line, report};

#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// Create an invite and print its code.
    Create(Create),
}

#[derive(clap::Args)]
pub(crate) struct Create {
    /// Role of the users who register with the invite.
    #[arg(long, value_enum, default_value_t = InviteRole::Student)]
    role: InviteRole,
    /// How many people may use the invite.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    uses: i32,
    /// Days until the invite expires. By default it never expires.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=3650))]
    expires_in_days: Option<i64>,
    /// What the invite is for, at most 200 characters.
    #[arg(long)]
    note: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum InviteRole {
    Student,
    Mentor,
    Admin,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: Args) -> Result<(), Failure> {
    let Args::Create(args) = args;
    if args.note.as_ref().is_some_and(|note| note.chars().count() > 200 || note.contains('\0')) {
        return Err(Failure::setup("--note is too long: at most 200 characters"));
    }
    let clock = Clock::default();
    let invite = NewInvite {
        role: match args.role {
            InviteRole::Student => Role::Student,
            InviteRole::Mentor => Role::Mentor,
            InviteRole::Admin => Role::Admin,
        },
        max_uses: args.uses,
        expires_at: args.expires_in_days.map(|days| clock.now() + TimeDelta::days(days)),
        note: args.note,
    };
    let database = Database::ready(config, data_dir).await?;
    let mut tx = database.connect()?.begin().await?;
    let expires_at = invite.expires_at;
    let created = create(&mut tx, invite).await.map_err(|rejected| Failure::failed(rejected.to_string()))?;
    tx.commit().await?;
    database.close().await?;
    report(&match expires_at {
        Some(time) => format!("valid for {} uses until {}:", created.max_uses, time.format("%Y-%m-%d %H:%M UTC")),
        None => format!("valid for {} uses:", created.max_uses),
    });
    print_line(&created.code)
}
