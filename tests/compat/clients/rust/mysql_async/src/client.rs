//! Connections and the short forms of statements.

use compat_common::{env, holds, name, port, wrong, Outcome};
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Error, OptsBuilder};

/// The options of every connection but the first check's.
///
/// By default the driver asks a server on this machine for its socket and moves there, away from a proxy.
pub fn options() -> OptsBuilder {
    usual_options().prefer_socket(false)
}

pub fn usual_options() -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(env("HOST"))
        .tcp_port(port())
        .user(Some(env("USER")))
        .pass(Some(env("PASSWORD")))
        .db_name(Some(env("DATABASE")))
        .setup(vec!["SET time_zone = '+00:00'"])
}

pub async fn open() -> Outcome<Conn> {
    Ok(Conn::new(options()).await?)
}

/// An empty table of that suffix; its full name.
pub async fn table(conn: &mut Conn, suffix: &str, columns: &str) -> Outcome<String> {
    let table = name(suffix);
    conn.query_drop(format!("DROP TABLE IF EXISTS {table}")).await?;
    conn.query_drop(format!("CREATE TABLE {table} ({columns})")).await?;
    Ok(table)
}

/// The one value that a text statement gives.
pub async fn one<T: FromValue + Send + 'static>(conn: &mut Conn, sql: &str) -> Outcome<T> {
    let mut values: Vec<T> = conn.query(sql).await?;
    holds(&format!("one row of {sql}"), values.len() == 1)?;
    Ok(values.remove(0))
}

pub fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Server(error) => Some(error.code),
        _ => None,
    }
}

/// That the result is the server's error of that number.
pub fn fails<T>(what: &str, expected: u16, result: Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => wrong(format!("{what}: no error")),
        Err(error) if code(&error) == Some(expected) => Ok(()),
        Err(error) => wrong(format!("{what}: {error} instead of {expected}")),
    }
}
