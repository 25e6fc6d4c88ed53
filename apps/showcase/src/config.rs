//! What it is told when it is started.

use std::ffi::OsStr;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use tokio_postgres::config::Host;

/// A service on which work is started, watched and stopped.
///
/// Without a word it keeps everything in a file of SQLite and listens on this machine alone.
#[derive(Parser, Clone)]
#[command(name = "showcase", version)]
pub(crate) struct Config {
    /// The port; 3000 if nothing is said, or any that is free where somebody has that
    #[arg(long, env = "PORT", value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// The address to listen on; with another than this machine's own everything is open to
    /// whoever reaches it, but for operations and console
    #[arg(long, env = "SHOWCASE_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) address: IpAddr,

    /// The folder for the file of SQLite and for exports; it is made if it is not there
    #[arg(long, env = "SHOWCASE_DATA", value_name = "FOLDER", default_value = "showcase-data")]
    pub(crate) data: PathBuf,

    /// Postgres in the place of SQLite, as postgres://user@host/database; several instances may
    /// share one
    #[arg(long, env = "SHOWCASE_DATABASE", value_name = "ADDRESS", hide_env_values = true)]
    pub(crate) database: Option<String>,

    /// A server of NATS with JetStream, as nats://127.0.0.1:4222, whose messages are worked on
    #[arg(long, env = "SHOWCASE_NATS", value_name = "ADDRESS", hide_env_values = true)]
    pub(crate) nats: Option<String>,

    /// Another instance, as http://127.0.0.1:3001, to be asked for its long-running task; itself
    /// if nothing is said
    #[arg(long, env = "SHOWCASE_DOWNSTREAM", value_name = "ADDRESS")]
    pub(crate) downstream: Option<String>,
}

impl Config {
    /// Of the command line and the environment, where a variable that is set to nothing says
    /// nothing.
    pub(crate) fn parsed() -> Self {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let command = Self::command().mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        });
        let said = Self::from_arg_matches(&command.get_matches());
        said.unwrap_or_else(|error| error.exit()).without_what_is_empty()
    }

    fn without_what_is_empty(mut self) -> Self {
        for said in [&mut self.database, &mut self.nats, &mut self.downstream] {
            said.take_if(|said| said.is_empty());
        }
        self
    }

    pub(crate) fn sqlite_file(&self) -> PathBuf {
        self.data.join("showcase.db")
    }

    pub(crate) fn exports(&self) -> PathBuf {
        self.data.join("exports")
    }

    /// By which several instances are told apart.
    ///
    /// In containers all of them are process 1, and one that was started again is another one.
    pub(crate) fn instance() -> String {
        static INSTANCE: OnceLock<String> = OnceLock::new();
        let instance = INSTANCE.get_or_init(|| {
            let host = std::env::var("HOSTNAME").ok().and_then(|name| plain(&name));
            let host = host.unwrap_or_else(|| std::process::id().to_string());
            // The seed of every process is another one.
            let start = RandomState::new().hash_one(()) as u32;
            format!("showcase {host}-{start:08x}")
        });
        instance.clone()
    }

    /// Where it keeps things, without a password.
    pub(crate) fn database_in_words(&self) -> impl fmt::Display {
        match &self.database {
            None => format!("SQLite in {}", self.sqlite_file().display()),
            Some(address) => address.parse().map_or("Postgres".into(), postgres_in_words),
        }
    }
}

/// What the name of a machine may have in it, if it has anything of that: pages show it, and
/// Postgres.
fn plain(name: &str) -> Option<String> {
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-._".contains(*letter);
    let name: String = name.chars().filter(is_plain).take(40).collect();
    (!name.is_empty()).then_some(name)
}

fn postgres_in_words(config: tokio_postgres::Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_dbname() {
        Some(database) => format!("Postgres at {host}:{port}, {database}"),
        None => format!("Postgres at {host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_command_line_is_told_from_every_other() {
        Config::command().debug_assert();
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let words = ["showcase", "--database", "", "--nats", "", "--downstream", ""];
        let config = Config::try_parse_from(words).unwrap().without_what_is_empty();
        assert!(config.database.or(config.nats).or(config.downstream).is_none());
    }

    #[test]
    fn an_instance_has_the_name_of_a_machine_and_nothing_else() {
        assert_eq!(plain("web-7.<b>example\u{1b}[2J").as_deref(), Some("web-7.bexample2J"));
        assert_eq!(plain(&"a".repeat(300)).unwrap().len(), 40);
        assert_eq!(plain("\u{202e} "), None);
    }

    #[test]
    fn a_password_is_not_told() {
        let words = ["showcase", "--database", "postgres://ada:secret@localhost/library"];
        let config = Config::try_parse_from(words).unwrap();
        assert_eq!(config.database_in_words().to_string(), "Postgres at localhost:5432, library");
    }
}
