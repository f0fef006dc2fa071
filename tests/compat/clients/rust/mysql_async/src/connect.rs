//! The ways to connect.

use crate::client::{fails, one, open, options, usual_options};
use compat_common::{env, env_or_skip, holds, same, Outcome};
use mysql_async::prelude::Queryable;
use mysql_async::{Compression, Conn, OptsBuilder, SslOpts};
use std::path::PathBuf;

async fn answers(options: OptsBuilder) -> Outcome {
    let mut conn = Conn::new(options).await?;
    same("SELECT 1", 1, one(&mut conn, "SELECT 1").await?)?;
    conn.disconnect().await?;
    Ok(())
}

/// TLS with the certificate verified by that file, or by the authorities built into the driver.
fn tls(ca: Option<String>) -> SslOpts {
    // Servers' own certificates name no host.
    let ssl = SslOpts::default().with_danger_skip_domain_validation(true);
    match ca {
        Some(ca) => ssl.with_root_certs(vec![PathBuf::from(ca).into()]).with_disable_built_in_roots(true),
        None => ssl,
    }
}

pub async fn connect() -> Outcome {
    let mut conn = Conn::new(usual_options()).await?;
    same("SELECT 1", 1, one(&mut conn, "SELECT 1").await?)?;
    same("schema", env("DATABASE"), one(&mut conn, "SELECT DATABASE()").await?)?;
    conn.ping().await?;
    holds("a version", conn.server_version() >= (5, 0, 0))?;
    conn.disconnect().await?;
    Ok(())
}

pub async fn connect_sha2() -> Outcome {
    let user = env_or_skip("SHA2_USER", "the server has no user of caching_sha2_password")?;
    let sha2 = || options().user(Some(user.clone())).pass(Some(env("SHA2_PASSWORD")));
    answers(sha2()).await?;
    if !env("CA").is_empty() {
        answers(sha2().ssl_opts(tls(Some(env("CA"))))).await?;
    }
    fails("wrong password", 1045, Conn::new(sha2().pass(Some("wrong"))).await)
}

pub async fn connect_tls() -> Outcome {
    let ca = env_or_skip("CA", "the server has no TLS")?;
    answers(options().ssl_opts(tls(Some(ca)))).await?;
    let other = Conn::new(options().ssl_opts(tls(None))).await;
    holds("the certificate was not verified", other.is_err())
}

pub async fn connect_socket() -> Outcome {
    let socket = env_or_skip("SOCKET", "the server has no unix socket")?;
    answers(options().socket(Some(socket))).await
}

pub async fn compress() -> Outcome {
    let mut conn = Conn::new(options().compression(Compression::default())).await?;
    let text = "compressible ".repeat(100_000);
    same("a long text", text.clone(), one(&mut conn, &format!("SELECT '{text}'")).await?)?;
    let status = "SHOW STATUS LIKE 'Compression'";
    same("Compression", Some((status_name(), "ON".to_string())), conn.query_first(status).await?)?;
    let mut plain = open().await?;
    same("Compression of a plain connection", Some((status_name(), "OFF".to_string())), plain.query_first(status).await?)
}

fn status_name() -> String {
    "Compression".to_string()
}
