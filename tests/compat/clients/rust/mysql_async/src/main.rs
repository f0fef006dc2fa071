//! mysql_async, with its own pool.

mod client;
mod connect;
mod session;
mod statements;
mod values;

use compat_common::{answer_version, check, skip};

#[tokio::main]
async fn main() {
    answer_version("mysql_async");
    check("connect", connect::connect()).await;
    check("connect_sha2", connect::connect_sha2()).await;
    check("connect_tls", connect::connect_tls()).await;
    check("connect_socket", connect::connect_socket()).await;
    check("types_text", values::types_text()).await;
    check("types_prepared", values::types_prepared()).await;
    check("unicode", values::unicode()).await;
    check("prepared", statements::prepared()).await;
    check("transactions", session::transactions()).await;
    check("batch", statements::batch()).await;
    check("keys", statements::keys()).await;
    check("stream", statements::stream()).await;
    check("large", values::large()).await;
    check("errors", session::errors()).await;
    check("reset", session::reset()).await;
    check("pool", session::pool()).await;
    check("kill", session::kill()).await;
    check("multi", statements::multi()).await;
    check("infile", statements::infile()).await;
    check("compress", connect::compress()).await;
    check("orm_schema", async { skip("a driver, not an ORM") }).await;
    check("orm_use", async { skip("a driver, not an ORM") }).await;
    // Connections of checks that hang would be waited for.
    std::process::exit(0);
}
