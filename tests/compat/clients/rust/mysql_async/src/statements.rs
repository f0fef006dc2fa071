//! What statements can be, and what comes back from them.

use crate::client::{fails, one, open, options, table};
use compat_common::{fill_people, holds, name, same, Outcome, BATCH, ORDERS, PEOPLE, STREAMED};
use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{params, Conn, Value};

pub async fn prepared() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    let insert = conn.prep(format!("INSERT INTO {people} VALUES (?, ?, ?)")).await?;
    let by_id = conn.prep(format!("SELECT name, note FROM {people} WHERE id = ?")).await?;
    let count = conn.prep(format!("SELECT COUNT(*) FROM {people} WHERE id <= :id")).await?;
    for id in 1..=30_u8 {
        let note = (id % 3 != 0).then(|| vec![0, id]);
        conn.exec_drop(&insert, (id, format!("person {id}"), note.clone())).await?;
        same("affected rows", 1, conn.affected_rows())?;
        let key = if id % 2 == 0 { Value::from(id) } else { Value::from(id.to_string()) };
        same("row", Some((format!("person {id}"), note)), conn.exec_first(&by_id, (key,)).await?)?;
        same("count", Some(id), conn.exec_first(&count, params! { "id" => id }).await?)?;
    }
    for statement in [insert, by_id, count] {
        conn.close(statement).await?;
    }
    let echo = conn.prep("SELECT CAST(? AS CHAR(100))").await?;
    let values = [
        (Value::from(42), Some("42")),
        (Value::from("text 😀"), Some("text 😀")),
        (Value::NULL, None),
        (Value::from(1.5), Some("1.5")),
        (Value::from(i64::MIN), Some("-9223372036854775808")),
        (Value::from(""), Some("")),
        (Value::NULL, None),
        (Value::from("7"), Some("7")),
    ];
    for (value, expected) in values {
        let back: Option<Option<String>> = conn.exec_first(&echo, (value,)).await?;
        same("echo", Some(expected.map(String::from)), back)?;
    }
    fails("wrong SQL", 1064, conn.prep("SELEC ?").await)?;
    same("afterwards", 30, one(&mut conn, &format!("SELECT COUNT(*) FROM {people}")).await?)
}

pub async fn batch() -> Outcome {
    let mut conn = open().await?;
    let orders = table(&mut conn, "orders", ORDERS).await?;
    let rows = (0..BATCH).map(|id| (id, format!("item '{id}' 😀"), id % 7));
    conn.exec_batch(format!("INSERT INTO {orders} (id, item, quantity) VALUES (?, ?, ?)"), rows).await?;
    let affected = conn.affected_rows(); // of the last row's execution, or of MariaDB's bulk execution of all
    holds(&format!("{affected} affected rows"), affected == 1 || affected == BATCH)?;
    counted(&mut conn, &orders, "item '999' 😀").await?;
    conn.query_drop(format!("UPDATE {orders} SET quantity = quantity + 1")).await?;
    same("affected rows", BATCH, conn.affected_rows())
}

async fn counted(conn: &mut Conn, orders: &str, last: &str) -> Outcome {
    same("rows", BATCH, one(conn, &format!("SELECT COUNT(*) FROM {orders}")).await?)?;
    same("sum", "2997".to_string(), one(conn, &format!("SELECT SUM(quantity) FROM {orders}")).await?)?;
    same("a row", last.to_string(), one(conn, &format!("SELECT item FROM {orders} WHERE id = 999")).await?)
}

pub async fn keys() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "keys", "id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)").await?;
    conn.query_drop(format!("INSERT INTO {table} (name) VALUES ('a')")).await?;
    same("key of one row", Some(1), conn.last_insert_id())?;
    same("LAST_INSERT_ID()", 1, one(&mut conn, "SELECT LAST_INSERT_ID()").await?)?;
    conn.query_drop(format!("INSERT INTO {table} (name) VALUES ('b'), ('c')")).await?;
    same("first key of several rows", Some(2), conn.last_insert_id())?;
    conn.exec_drop(format!("INSERT INTO {table} (name) VALUES (?)"), ("d",)).await?;
    same("key of a prepared statement", Some(4), conn.last_insert_id())?;
    let names: Vec<String> = conn.query(format!("SELECT name FROM {table} ORDER BY id")).await?;
    same("names", vec!["a", "b", "c", "d"], names.iter().map(String::as_str).collect())
}

pub async fn stream() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    for insert in fill_people(&people) {
        conn.query_drop(insert).await?;
    }
    let sql = format!("SELECT id, name FROM {people} ORDER BY id");
    let mut id = 0;
    let mut rows = conn.query_stream::<(u64, String), _>(&sql).await?;
    while let Some(row) = rows.next().await {
        same("row", (id, format!("person {id}")), row?)?;
        id += 1;
    }
    drop(rows);
    same("rows", STREAMED, id)?;
    same("second statement", 1, one(&mut conn, "SELECT 1").await?)?;
    let mut rows = conn.exec_stream::<(u64, String), _, _>(&sql, ()).await?;
    let first = rows.next().await.transpose()?;
    same("first row", Some((0, "person 0".to_string())), first)?;
    drop(rows);
    same("after leaving early", STREAMED, one(&mut conn, &format!("SELECT COUNT(*) FROM {people}")).await?)
}

pub async fn multi() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "multi", "id INT PRIMARY KEY, name VARCHAR(20)").await?;
    let mut results = conn
        .query_iter(format!(
            "SELECT 1; INSERT INTO {table} VALUES (1, 'a;b'), (2, 'c'); SELECT name FROM {table} ORDER BY id; SELECT 4"
        ))
        .await?;
    same("first", vec![1], results.collect::<i64>().await?)?;
    same("second", 2, results.affected_rows())?;
    holds("second has no rows", results.collect::<i64>().await?.is_empty())?;
    same("third", vec!["a;b".to_string(), "c".to_string()], results.collect().await?)?;
    same("fourth", vec![4], results.collect::<i64>().await?)?;
    holds("no fifth", results.is_empty())?;
    drop(results);
    fails("error in the middle", 1146, conn.query_drop(format!("SELECT 1; SELECT * FROM {table}_none; SELECT 3")).await)?;
    same("afterwards", 1, one(&mut conn, "SELECT 1").await?)?;
    call(&mut conn).await
}

async fn call(conn: &mut Conn) -> Outcome {
    let procedure = name("procedure");
    conn.query_drop(format!("DROP PROCEDURE IF EXISTS {procedure}")).await?;
    let body = "BEGIN SELECT a; SELECT a + 1, 'zwei'; SET b = a * 2; END";
    conn.query_drop(format!("CREATE PROCEDURE {procedure}(IN a INT, OUT b INT) {body}")).await?;
    let mut results = conn.query_iter(format!("CALL {procedure}(21, @b)")).await?;
    same("first result", vec![21], results.collect::<i64>().await?)?;
    same("second result", vec![(22, "zwei".to_string())], results.collect::<(i64, String)>().await?)?;
    results.drop_result().await?;
    same("OUT parameter", 42, one(conn, "SELECT @b").await?)?;
    // A prepared CALL has its OUT parameters as one more result.
    let mut results = conn.exec_iter(format!("CALL {procedure}(?, ?)"), (21, Value::NULL)).await?;
    same("first prepared result", vec![21], results.collect::<i64>().await?)?;
    same("second prepared result", vec![(22, "zwei".to_string())], results.collect::<(i64, String)>().await?)?;
    same("OUT parameters", vec![42], results.collect::<i64>().await?)?;
    results.drop_result().await?;
    conn.query_drop(format!("DROP PROCEDURE {procedure}")).await?;
    Ok(())
}

pub async fn infile() -> Outcome {
    let lines: String = (0..BATCH).map(|id| format!("{id}\titem {id} é😀\t{}\n", id % 7)).collect();
    let path = std::env::temp_dir().join(format!("{}-{}.tsv", name("infile"), std::process::id()));
    tokio::fs::write(&path, lines).await?;
    let handler = mysql_async::WhiteListFsHandler::new(vec![path.clone()]);
    let mut conn = Conn::new(options().local_infile_handler(Some(handler))).await?;
    let orders = table(&mut conn, "orders", ORDERS).await?;
    let file = path.display();
    let sql = format!("LOAD DATA LOCAL INFILE '{file}' INTO TABLE {orders} CHARACTER SET utf8mb4 (id, item, quantity)");
    let loaded = conn.query_drop(sql).await;
    tokio::fs::remove_file(&path).await?;
    loaded?;
    same("affected rows", BATCH, conn.affected_rows())?;
    counted(&mut conn, &orders, "item 999 é😀").await
}
