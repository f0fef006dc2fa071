//! Transactions, errors, the pool and migrations.

use crate::client::{all, code, fails, one, open, options, run, table};
use compat_common::{env, holds, interrupted, name, same, Outcome, ORDERS, PEOPLE};
use sqlx::error::ErrorKind;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::mysql::{MySqlConnection, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, SqlSafeStr};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Always two rows; where the table is sharded, the ids 1 and 5 are on different shards.
pub async fn transactions() -> Outcome {
    let mut conn = open().await?;
    let mut other = open().await?;
    let orders = table(&mut conn, "orders", ORDERS).await?;
    let insert = format!("INSERT INTO {orders} VALUES (1, 'a', 1), (5, 'b', 1)");
    let quantity = format!("SELECT quantity FROM {orders} ORDER BY id");

    let mut transaction = conn.begin().await?;
    run(&mut transaction, &insert).await?;
    transaction.rollback().await?;
    same("after rollback", Vec::<i64>::new(), all(&mut conn, &quantity).await?)?;
    let mut transaction = conn.begin().await?;
    run(&mut transaction, &insert).await?;
    same("seen by others before commit", Vec::<i64>::new(), all(&mut other, &quantity).await?)?;
    let mut savepoint = transaction.begin().await?;
    let update = sqlx::query(AssertSqlSafe(format!("UPDATE {orders} SET quantity = ?")));
    update.bind(3).execute(&mut *savepoint).await?;
    savepoint.rollback().await?;
    same("after rollback to savepoint", vec![1, 1], all::<i64>(&mut transaction, &quantity).await?)?;
    let mut savepoint = transaction.begin().await?;
    run(&mut savepoint, format!("UPDATE {orders} SET quantity = 2")).await?;
    savepoint.commit().await?;
    transaction.commit().await?;
    same("after commit", vec![2, 2], all::<i64>(&mut other, &quantity).await?)?;

    let mut dropped = conn.begin().await?;
    run(&mut dropped, format!("UPDATE {orders} SET quantity = 7")).await?;
    drop(dropped); // rolled back before the next statement
    same("after dropping", vec![2, 2], all::<i64>(&mut conn, &quantity).await?)?;

    run(&mut conn, "SET autocommit = 0").await?;
    run(&mut conn, format!("UPDATE {orders} SET quantity = 4")).await?;
    same("autocommit off", vec![2, 2], all::<i64>(&mut other, &quantity).await?)?;
    run(&mut conn, "SET autocommit = 1").await?;
    same("autocommit on", vec![4, 4], all::<i64>(&mut other, &quantity).await?)?;
    isolation(&mut conn, &mut other, &orders).await
}

async fn isolation(conn: &mut MySqlConnection, other: &mut MySqlConnection, orders: &str) -> Outcome {
    let quantity = format!("SELECT quantity FROM {orders} WHERE id = 1");
    for (level, second) in [("READ COMMITTED", 11), ("REPEATABLE READ", 10)] {
        run(other, format!("UPDATE {orders} SET quantity = 10 WHERE id = 1")).await?;
        run(conn, format!("SET TRANSACTION ISOLATION LEVEL {level}")).await?;
        let mut transaction = conn.begin().await?;
        same("first read", 10, one::<i64>(&mut transaction, &quantity).await?)?;
        run(other, format!("UPDATE {orders} SET quantity = 11 WHERE id = 1")).await?;
        same(&format!("second read at {level}"), second, one::<i64>(&mut transaction, &quantity).await?)?;
        transaction.commit().await?;
    }
    let mut transaction = conn.begin_with("START TRANSACTION READ ONLY").await?;
    let update = run(&mut transaction, format!("UPDATE {orders} SET quantity = 12 WHERE id = 1")).await;
    fails("write in a read-only transaction", 1792, update)?;
    transaction.rollback().await?;
    same("unchanged", 11, one::<i64>(conn, &quantity).await?)
}

pub async fn errors() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    let insert = format!("INSERT INTO {people} (id, name) VALUES (1, 'a')");
    run(&mut conn, &insert).await?;
    for (expected, sql) in [
        (1062, insert.clone()),
        (1146, format!("SELECT * FROM {}", name("none"))),
        (1064, "SELEC 1".to_string()),
        (1054, format!("SELECT nothing FROM {people}")),
    ] {
        fails(&sql, expected, run(&mut conn, &sql).await)?;
        same("afterwards", 1, one::<i64>(&mut conn, "SELECT 1").await?)?;
        let prepared = sqlx::query(AssertSqlSafe(sql.as_str())).execute(&mut conn).await;
        fails(&format!("prepared {sql}"), expected, prepared)?;
    }
    let duplicate = run(&mut conn, &insert).await.err();
    let kind = duplicate.as_ref().and_then(Error::as_database_error).map(|error| error.kind());
    holds("kind of 1062", matches!(kind, Some(ErrorKind::UniqueViolation)))?;
    fails("wrong password", 1045, options().password("wrong").connect().await)?;
    fails("unknown schema", 1049, options().database(&format!("{}_none", env("DATABASE"))).connect().await)
}

pub async fn pool() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    let pool = MySqlPoolOptions::new().max_connections(8).connect_with(options()).await?;
    let tasks: Vec<_> = (0..20_i64).map(|task| tokio::spawn(work(pool.clone(), people.clone(), task))).collect();
    for task in tasks {
        task.await??;
    }
    same("rows", 500, one::<i64>(&mut conn, format!("SELECT COUNT(*) FROM {people}")).await?)?;
    let mut lent = Vec::new();
    for _ in 0..8 {
        lent.push(pool.acquire().await?);
    }
    let killed: u64 = one(&mut lent[0], "SELECT CONNECTION_ID()").await?;
    drop(lent);
    run(&mut conn, format!("KILL {killed}")).await?;
    for _ in 0..16 {
        let mut lent = pool.acquire().await?;
        holds("the killed connection again", one::<u64>(&mut lent, "SELECT CONNECTION_ID()").await? != killed)?;
    }
    // A transaction that is left open is rolled back before its connection is lent again.
    let mut left = pool.begin().await?;
    run(&mut left, format!("DELETE FROM {people} WHERE id = 1001")).await?;
    drop(left);
    pool.close().await;
    same("rows at the end", 500, one::<i64>(&mut conn, format!("SELECT COUNT(*) FROM {people}")).await?)
}

async fn work(pool: MySqlPool, people: String, task: i64) -> Result<(), Error> {
    for i in 0..25 {
        let id = task * 1000 + i;
        let insert = sqlx::query(AssertSqlSafe(format!("INSERT INTO {people} (id, name) VALUES (?, ?)")));
        insert.bind(id).bind(format!("person {id}")).execute(&pool).await?;
        let select = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("SELECT name FROM {people} WHERE id = ?")));
        assert_eq!(select.bind(id).fetch_one(&pool).await?, format!("person {id}"));
    }
    Ok(())
}

pub async fn kill() -> Outcome {
    let mut conn = open().await?;
    let mut other = open().await?;
    let id: u64 = one(&mut conn, "SELECT CONNECTION_ID()").await?;
    let begin = Instant::now();
    let end = async {
        // The statement has to be under way, and nothing tells when it is.
        tokio::time::sleep(Duration::from_millis(500)).await;
        run(&mut other, format!("KILL QUERY {id}")).await
    };
    let (slept, ended) = tokio::join!(one::<i64>(&mut conn, "SELECT SLEEP(30)"), end);
    ended?;
    interrupted("SLEEP", slept.map_err(|error| code(&error)))?;
    holds(&format!("ended only after {:?}", begin.elapsed()), begin.elapsed() < Duration::from_secs(10))?;
    same("afterwards", 2, one::<i64>(&mut conn, "SELECT 2").await?)
}

pub async fn migrations() -> Outcome {
    let mut conn = open().await?;
    let (table, journal) = (name("migrated"), name("migrations"));
    run(&mut conn, format!("DROP TABLE IF EXISTS {table}, {journal}")).await?;
    let step = |version, kind, sql: String| {
        Migration::new(version, Cow::Borrowed("a step"), kind, AssertSqlSafe(sql).into_sql_str(), false)
    };
    let create = format!("CREATE TABLE {table} (id BIGINT PRIMARY KEY, name VARCHAR(20)); INSERT INTO {table} VALUES (1, 'a;b')");
    let alter = format!("ALTER TABLE {table} ADD COLUMN size INT NOT NULL DEFAULT 7");
    let back = format!("ALTER TABLE {table} DROP COLUMN size");
    let mut migrator = Migrator::with_migrations(vec![
        step(1, MigrationType::Simple, create),
        step(2, MigrationType::ReversibleUp, alter),
        step(2, MigrationType::ReversibleDown, back),
    ]);
    migrator.dangerous_set_table_name(journal.clone());
    migrator.run(&mut conn).await?;
    migrator.run(&mut conn).await?; // nothing left to do
    same("size", 7, one::<i64>(&mut conn, format!("SELECT size FROM {table}")).await?)?;
    same("versions", vec![1, 2], all::<i64>(&mut conn, format!("SELECT version FROM {journal} ORDER BY version")).await?)?;
    let columns = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' \
         ORDER BY ordinal_position"
    );
    same("columns", vec!["id".to_string(), "name".into(), "size".into()], all(&mut conn, &columns).await?)?;
    migrator.undo(&mut conn, 1).await?;
    same("columns after undo", vec!["id".to_string(), "name".into()], all(&mut conn, &columns).await?)
}
