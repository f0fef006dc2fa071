//! The ways to connect.

use crate::client::{fails, one, options};
use compat_common::{env, env_or_skip, holds, same, Outcome};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection};

async fn answers(options: MySqlConnectOptions) -> Outcome {
    let mut conn = options.connect().await?;
    same("SELECT 1", 1, one::<i64>(&mut conn, "SELECT 1").await?)?;
    conn.close().await?;
    Ok(())
}

pub async fn connect() -> Outcome {
    let mut conn = options().connect().await?;
    same("SELECT 1", 1, one::<i64>(&mut conn, "SELECT 1").await?)?;
    same("schema", env("DATABASE"), one(&mut conn, "SELECT DATABASE()").await?)?;
    same("time zone", "+00:00".to_string(), one(&mut conn, "SELECT @@time_zone").await?)?;
    holds("sql_mode", one::<String>(&mut conn, "SELECT @@sql_mode").await?.contains("PIPES_AS_CONCAT"))?;
    conn.ping().await?;
    conn.close().await?;
    Ok(())
}

pub async fn connect_sha2() -> Outcome {
    let user = env_or_skip("SHA2_USER", "the server has no user of caching_sha2_password")?;
    let clear = options().username(&user).password(&env("SHA2_PASSWORD")).ssl_mode(MySqlSslMode::Disabled);
    answers(clear.clone()).await?;
    if !env("CA").is_empty() {
        answers(clear.clone().ssl_mode(MySqlSslMode::VerifyCa).ssl_ca(env("CA"))).await?;
    }
    fails("wrong password", 1045, clear.password("wrong").connect().await)
}

pub async fn connect_tls() -> Outcome {
    let ca = env_or_skip("CA", "the server has no TLS")?;
    answers(options().ssl_mode(MySqlSslMode::VerifyCa).ssl_ca(ca)).await?;
    let other = options().ssl_mode(MySqlSslMode::VerifyCa).connect().await;
    holds("the certificate was not verified", other.is_err())
}

pub async fn connect_socket() -> Outcome {
    let socket = env_or_skip("SOCKET", "the server has no unix socket")?;
    // Otherwise it asks for TLS on the socket, which servers do not give.
    answers(options().socket(socket).ssl_mode(MySqlSslMode::Disabled)).await
}
