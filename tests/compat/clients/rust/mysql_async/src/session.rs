//! Transactions, errors, and what becomes of a session.

use crate::client::{code, fails, one, open, options, table};
use compat_common::{env, holds, interrupted, name, same, Failure, Outcome, ORDERS, PEOPLE};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, IsolationLevel, Pool, PoolConstraints, PoolOpts, TxOpts};
use std::time::{Duration, Instant};

/// Always two rows; where the table is sharded, the ids 1 and 5 are on different shards.
pub async fn transactions() -> Outcome {
    let mut conn = open().await?;
    let mut other = open().await?;
    let orders = table(&mut conn, "orders", ORDERS).await?;
    let insert = format!("INSERT INTO {orders} VALUES (1, 'a', 1), (5, 'b', 1)");
    let quantity = format!("SELECT quantity FROM {orders} ORDER BY id");
    let none = Vec::<i64>::new;

    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    transaction.query_drop(&insert).await?;
    transaction.rollback().await?;
    same("after rollback", none(), conn.query(&quantity).await?)?;
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    transaction.query_drop(&insert).await?;
    same("seen by others before commit", none(), other.query(&quantity).await?)?;
    transaction.query_drop("SAVEPOINT before_three").await?;
    transaction.exec_drop(format!("UPDATE {orders} SET quantity = ?"), (3,)).await?;
    transaction.query_drop("ROLLBACK TO SAVEPOINT before_three").await?;
    same("after rollback to savepoint", vec![1, 1], transaction.query(&quantity).await?)?;
    transaction.commit().await?;
    same("after commit", vec![1, 1], other.query(&quantity).await?)?;

    let mut dropped = conn.start_transaction(TxOpts::default()).await?;
    dropped.query_drop(format!("UPDATE {orders} SET quantity = 7")).await?;
    drop(dropped); // rolled back before the next statement
    same("after dropping", vec![1, 1], conn.query(&quantity).await?)?;

    conn.query_drop("SET autocommit = 0").await?;
    conn.query_drop(format!("UPDATE {orders} SET quantity = 4")).await?;
    same("autocommit off", vec![1, 1], other.query(&quantity).await?)?;
    conn.query_drop("SET autocommit = 1").await?;
    same("autocommit on", vec![4, 4], other.query(&quantity).await?)?;
    isolation(&mut conn, &mut other, &orders).await
}

async fn isolation(conn: &mut Conn, other: &mut Conn, orders: &str) -> Outcome {
    let quantity = format!("SELECT quantity FROM {orders} WHERE id = 1");
    for (level, second) in [(IsolationLevel::ReadCommitted, 11), (IsolationLevel::RepeatableRead, 10)] {
        other.query_drop(format!("UPDATE {orders} SET quantity = 10 WHERE id = 1")).await?;
        let mut options = TxOpts::default();
        options.with_isolation_level(level);
        let mut transaction = conn.start_transaction(options).await?;
        same("first read", Some(10), transaction.query_first(&quantity).await?)?;
        other.query_drop(format!("UPDATE {orders} SET quantity = 11 WHERE id = 1")).await?;
        same(&format!("second read at {level}"), Some(second), transaction.query_first(&quantity).await?)?;
        transaction.commit().await?;
    }
    let mut options = TxOpts::default();
    options.with_readonly(true);
    let mut transaction = conn.start_transaction(options).await?;
    let update = transaction.query_drop(format!("UPDATE {orders} SET quantity = 12 WHERE id = 1")).await;
    fails("write in a read-only transaction", 1792, update)?;
    transaction.rollback().await?;
    same("unchanged", Some(11), conn.query_first(&quantity).await?)
}

pub async fn errors() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    let insert = format!("INSERT INTO {people} (id, name) VALUES (1, 'a')");
    conn.query_drop(&insert).await?;
    for (expected, sql) in [
        (1062, insert),
        (1146, format!("SELECT * FROM {}", name("none"))),
        (1064, "SELEC 1".to_string()),
        (1054, format!("SELECT nothing FROM {people}")),
    ] {
        fails(&sql, expected, conn.query_drop(&sql).await)?;
        same("afterwards", 1, one(&mut conn, "SELECT 1").await?)?;
    }
    fails("wrong password", 1045, Conn::new(options().pass(Some("wrong"))).await)?;
    let nowhere = format!("{}_none", env("DATABASE"));
    fails("unknown schema", 1049, Conn::new(options().db_name(Some(nowhere))).await)
}

pub async fn reset() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    soil(&mut conn, &people).await?;
    holds("COM_RESET_CONNECTION", conn.reset().await?)?;
    clean(&mut conn, &people).await?;
    soil(&mut conn, &people).await?;
    conn.change_user(Default::default()).await?;
    clean(&mut conn, &people).await
}

async fn soil(conn: &mut Conn, people: &str) -> Outcome {
    conn.query_drop("SET @kept = 'user variable', SESSION sql_mode = 'NO_ZERO_DATE'").await?;
    conn.query_drop(format!("CREATE TEMPORARY TABLE {} (id INT)", name("scratch"))).await?;
    conn.query_drop("BEGIN").await?;
    conn.query_drop(format!("INSERT INTO {people} (id, name) VALUES (1, 'open')")).await?;
    Ok(())
}

async fn clean(conn: &mut Conn, people: &str) -> Outcome {
    let mut other = open().await?;
    same("open transaction", 0, one(&mut other, &format!("SELECT COUNT(*) FROM {people}")).await?)?;
    same("user variable", None, one::<Option<String>>(conn, "SELECT @kept").await?)?;
    holds("sql_mode", one::<String>(conn, "SELECT @@SESSION.sql_mode").await? != "NO_ZERO_DATE")?;
    fails("temporary table", 1146, conn.query_drop(format!("SELECT * FROM {}", name("scratch"))).await)?;
    same("schema", env("DATABASE"), one(conn, "SELECT DATABASE()").await?)
}

pub async fn pool() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    let constraints = PoolConstraints::new(8, 8).ok_or_else(|| Failure::Wrong("constraints".into()))?;
    let pool = Pool::new(options().pool_opts(PoolOpts::default().with_constraints(constraints)));
    let tasks: Vec<_> = (0..20_u64).map(|task| tokio::spawn(work(pool.clone(), people.clone(), task))).collect();
    for task in tasks {
        task.await??;
    }
    same("rows", 500, one(&mut conn, &format!("SELECT COUNT(*) FROM {people}")).await?)?;
    let mut lent = Vec::new();
    for _ in 0..8 {
        lent.push(pool.get_conn().await?);
    }
    let killed: u64 = one(&mut lent[0], "SELECT CONNECTION_ID()").await?;
    drop(lent);
    conn.query_drop(format!("KILL {killed}")).await?;
    for _ in 0..16 {
        let mut lent = pool.get_conn().await?;
        holds("the killed connection again", one::<u64>(&mut lent, "SELECT CONNECTION_ID()").await? != killed)?;
    }
    pool.disconnect().await?;
    Ok(())
}

async fn work(pool: Pool, people: String, task: u64) -> Result<(), mysql_async::Error> {
    for i in 0..25 {
        let id = task * 1000 + i;
        let mut conn = pool.get_conn().await?;
        let insert = format!("INSERT INTO {people} (id, name) VALUES ({id}, 'person {id}')");
        conn.query_drop(insert).await?;
        let select = format!("SELECT name FROM {people} WHERE id = {id}");
        let back: Option<String> = conn.query_first(select).await?;
        assert_eq!(back, Some(format!("person {id}")));
    }
    Ok(())
}

pub async fn kill() -> Outcome {
    let mut conn = open().await?;
    let mut other = open().await?;
    let id: u64 = one(&mut conn, "SELECT CONNECTION_ID()").await?;
    let begin = Instant::now();
    let sleep = conn.query_first::<i64, _>("SELECT SLEEP(30)");
    let end = async {
        // The statement has to be under way, and nothing tells when it is.
        tokio::time::sleep(Duration::from_millis(500)).await;
        other.query_drop(format!("KILL QUERY {id}")).await
    };
    let (slept, ended) = tokio::join!(sleep, end);
    ended?;
    let answer = match slept {
        Ok(value) => Ok(value.unwrap_or(-1)),
        Err(error) => Err(code(&error)),
    };
    interrupted("SLEEP", answer)?;
    holds(&format!("ended only after {:?}", begin.elapsed()), begin.elapsed() < Duration::from_secs(10))?;
    same("afterwards", 2, one(&mut conn, "SELECT 2").await?)
}
