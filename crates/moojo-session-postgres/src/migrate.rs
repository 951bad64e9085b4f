//! Makes the tables, and brings older ones up to date.

use moojo_session::StoreError;
use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::database::Database;
use crate::error::{no_answer, store_error};
use crate::link::Driver;

/// What each version adds to the one before it; the first is version 1. One that was published never
/// changes. It leaves the store of the version before at work, so that processes can be replaced one
/// by one.
const VERSIONS: &[&str] = &[include_str!("../migrations/1.sql")];

/// So many may be waited for at once, and one may rewrite a table.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// Why the tables were not made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The schema is of a later version of this crate: this one does not know what is in it.
    #[error("the schema has version {found}, and this crate knows versions up to {known}")]
    Newer {
        /// The version of the schema.
        found: u32,
        /// The latest that this crate knows.
        known: u32,
    },
    /// The database cannot hold every user id.
    #[error("the database has the encoding {encoding}, and has to have UTF8")]
    Encoding {
        /// The database's encoding.
        encoding: String,
    },
    /// The server could not do it, or refused.
    #[error("the tables could not be made")]
    Store(#[from] StoreError),
}

impl MigrateError {
    /// As what a call ends in that needed the tables.
    pub(crate) fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            other => StoreError::refused(other),
        }
    }
}

/// Brings the schema to the latest version, on a connection of its own.
pub(crate) async fn run(database: &Database) -> Result<(), MigrateError> {
    let (client, messages) = database.connector.open().await?;
    let _driver = Driver::start(messages);
    timeout(LIMIT, bring_up(database, &client)).await.map_err(|_| no_answer(LIMIT))?
}

async fn bring_up(database: &Database, client: &Client) -> Result<(), MigrateError> {
    let encoding = ask(client, "show server_encoding").await?.unwrap_or_default();
    if encoding != "UTF8" {
        return Err(MigrateError::Encoding { encoding });
    }
    // Who finds nothing to do needs no right to make tables, and waits for nobody.
    if is_latest(version(database, client).await?)? {
        return Ok(());
    }
    tell(client, &begin(database)).await?;
    // From here on it is one transaction. If it fails, the end of the connection ends it.
    let found = version(database, client).await?;
    if !is_latest(found)? {
        for (sql, number) in VERSIONS.iter().zip(1..).skip(found as usize) {
            tell(client, &database.names.fill(sql)).await?;
            let note = format!("insert into {{schema}}.migrations (version) values ({number})");
            tell(client, &database.names.fill(&note)).await?;
        }
    }
    tell(client, "commit").await
}

/// Begins the transaction, and lets one process at a time into it.
fn begin(database: &Database) -> String {
    // `create schema if not exists` wants the right to make one even where it is there.
    let schema = database.names.fill(
        "do $$ begin \
             if to_regnamespace('{schema}') is null then create schema {schema}; end if; \
         end $$; \
         create table if not exists {schema}.migrations (\
             version integer primary key, applied_at timestamptz not null default now())",
    );
    let lock = format!("moojo-session {}", database.names.schema());
    format!(
        "begin isolation level read committed; \
         set local statement_timeout = 0; set local lock_timeout = 0; \
         select pg_advisory_xact_lock(hashtextextended('{lock}', 0)); {schema}"
    )
}

fn is_latest(found: u32) -> Result<bool, MigrateError> {
    let known = VERSIONS.len() as u32;
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    Ok(found == known)
}

/// The version of the schema; none is version 0.
async fn version(database: &Database, client: &Client) -> Result<u32, MigrateError> {
    let there = database.names.fill("select to_regclass('{schema}.migrations')::text");
    if ask(client, &there).await?.is_none() {
        return Ok(0);
    }
    let latest = database.names.fill("select max(version) from {schema}.migrations");
    let latest = ask(client, &latest).await?;
    Ok(latest.and_then(|version| version.parse().ok()).unwrap_or(0))
}

async fn tell(client: &Client, sql: &str) -> Result<(), MigrateError> {
    Ok(client.batch_execute(sql).await.map_err(|error| store_error(&error))?)
}

/// The first column of the first row.
async fn ask(client: &Client, sql: &str) -> Result<Option<String>, MigrateError> {
    let answer = client.simple_query(sql).await.map_err(|error| store_error(&error))?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
