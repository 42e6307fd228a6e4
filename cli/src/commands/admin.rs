//! `cairn admin`: creates admins, above all the first one.

use std::io::{IsTerminal, Read};
use std::path::Path;

use cairn_core::actor::Role;
use cairn_core::config::Config;
use cairn_core::refusal::Rejected;
use cairn_core::users::accounts::{self, NewAccount};
use cairn_core::users::password_rules::{Password, PasswordFault, Person};
use cairn_core::users::passwords::Passwords;
use cairn_core::users::rules::{Email, PersonName};

use crate::database::Database;
use crate::failure::Failure;
use crate::output::print_line;

#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// Create an admin. The password is prompted for, or read from standard input if that is not a terminal.
    Create(Create),
}

#[derive(clap::Args)]
pub(crate) struct Create {
    /// Email address to sign in with.
    #[arg(long)]
    email: String,
    /// First name.
    #[arg(long)]
    first_name: String,
    /// Last name.
    #[arg(long)]
    last_name: Option<String>,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: Args) -> Result<(), Failure> {
    let Args::Create(args) = args;
    let name = |text: &str| {
        PersonName::parse(text)
            .ok_or_else(|| Failure::setup("a name must have 1 to 100 characters and no control characters"))
    };
    let email = Email::parse(&args.email)
        .ok_or_else(|| Failure::setup("--email must be an email address such as somebody@example.org"))?;
    let first_name = name(&args.first_name)?;
    let last_name = args.last_name.as_deref().map(name).transpose()?;
    let password = ask_password()?;
    let person = Person { email: args.email, first_name: args.first_name, last_name: args.last_name };
    password.check_owner(&person).map_err(refused)?;
    let hashed = Passwords::patient().hash(&password).await;
    let password_hash = hashed.map_err(|rejected| Failure::failed(rejected.to_string()))?;

    let database = Database::ready(config, data_dir).await?;
    let mut tx = database.connect()?.begin().await?;
    let new = NewAccount { email, first_name, last_name, password_hash };
    let user = accounts::create(&mut tx, &new, Role::Admin).await.map_err(|rejected| match rejected {
        Rejected::Failed(error) => error.into(),
        Rejected::Refused(_) => {
            Failure::failed(format!("{} already has an account: choose another address", new.email.as_str()))
        }
    })?;
    tx.commit().await?;
    database.close().await?;
    print_line(&format!("created the admin {} ({})", user.email, user.id))
}

fn ask_password() -> Result<Password, Failure> {
    let text = if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Repeat the password: ")? != first {
            return Err(Failure::setup("the passwords do not match: try again"));
        }
        first
    } else {
        let mut text = String::new();
        std::io::stdin().take(10_000).read_to_string(&mut text)?;
        text.lines().next().unwrap_or_default().to_owned()
    };
    Password::parse(&text).map_err(refused)
}

fn refused(fault: PasswordFault) -> Failure {
    Failure::setup(format!("{} Choose another.", fault.message()))
}
