//! Connections and the short forms of statements.

use compat_common::{env, name, port, wrong, Outcome};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions, Decode, Error, Executor, MySql, Row, Type};

pub fn options() -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(&env("HOST"))
        .port(port())
        .username(&env("USER"))
        .password(&env("PASSWORD"))
        .database(&env("DATABASE"))
}

pub async fn open() -> Outcome<MySqlConnection> {
    Ok(options().connect().await?)
}

/// Run a text statement; the affected rows.
pub async fn run(conn: &mut MySqlConnection, sql: impl Into<String>) -> Result<u64, Error> {
    Ok(conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.into()))).await?.rows_affected())
}

/// An empty table of that suffix; its full name.
pub async fn table(conn: &mut MySqlConnection, suffix: &str, columns: &str) -> Outcome<String> {
    let table = name(suffix);
    run(conn, format!("DROP TABLE IF EXISTS {table}")).await?;
    run(conn, format!("CREATE TABLE {table} ({columns})")).await?;
    Ok(table)
}

/// The first value that a text statement gives.
pub async fn one<T>(conn: &mut MySqlConnection, sql: impl Into<String>) -> Result<T, Error>
where
    T: for<'r> Decode<'r, MySql> + Type<MySql>,
{
    conn.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql.into()))).await?.try_get_unchecked(0)
}

/// The first column of all rows of a text statement.
pub async fn all<T>(conn: &mut MySqlConnection, sql: impl Into<String>) -> Result<Vec<T>, Error>
where
    T: for<'r> Decode<'r, MySql> + Type<MySql>,
{
    let rows = conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.into()))).await?;
    rows.iter().map(|row| row.try_get_unchecked(0)).collect()
}

pub fn code(error: &Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}

/// That the result is the server's error of that number.
pub fn fails<T>(what: &str, expected: u16, result: Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => wrong(format!("{what}: no error")),
        Err(error) if code(&error) == Some(expected) => Ok(()),
        Err(error) => wrong(format!("{what}: {error} instead of {expected}")),
    }
}
