//! What statements can be, and what comes back from them.

use crate::client::{all, fails, one, open, options, run, table};
use bigdecimal::BigDecimal;
use compat_common::{fill_people, name, same, Outcome, BATCH, ORDERS, PEOPLE, STREAMED};
use futures_util::StreamExt;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Either, Executor, MySql, QueryBuilder, Row, SqlSafeStr, Statement};

pub async fn prepared() -> Outcome {
    // A small cache, so that statements are closed as well.
    let mut conn = options().statement_cache_capacity(4).connect().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    let insert = conn.prepare(AssertSqlSafe(format!("INSERT INTO {people} VALUES (?, ?, ?)")).into_sql_str()).await?;
    let by_id = conn.prepare(AssertSqlSafe(format!("SELECT name, note FROM {people} WHERE id = ?")).into_sql_str()).await?;
    let count = conn.prepare(AssertSqlSafe(format!("SELECT COUNT(*) FROM {people} WHERE id <= ?")).into_sql_str()).await?;
    same("columns", 2, by_id.columns().len())?;
    for id in 1..=30_i64 {
        let note = (id % 3 != 0).then(|| vec![0, id as u8]);
        let inserted = insert.query().bind(id).bind(format!("person {id}")).bind(note.clone()).execute(&mut conn).await?;
        same("affected rows", 1, inserted.rows_affected())?;
        let select = by_id.query_as::<(String, Option<Vec<u8>>)>();
        let select = if id % 2 == 0 { select.bind(id) } else { select.bind(id.to_string()) };
        same("row", (format!("person {id}"), note), select.fetch_one(&mut conn).await?)?;
        same("count", id, count.query_scalar().bind(id).fetch_one(&mut conn).await?)?;
    }
    for number in 0..20 {
        let sql = format!("SELECT name, {number} FROM {people} WHERE id = ?");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(7).fetch_one(&mut conn).await?;
        same("name", "person 7", row.try_get(0)?)?;
    }
    changing_types(&mut conn).await?;
    fails("wrong SQL", 1064, conn.prepare("SELEC ?".into_sql_str()).await)?;
    same("afterwards", 30, one::<i64>(&mut conn, format!("SELECT COUNT(*) FROM {people}")).await?)
}

async fn changing_types(conn: &mut MySqlConnection) -> Outcome {
    let echo = || sqlx::query_scalar::<_, Option<String>>("SELECT CAST(? AS CHAR(100))");
    same("echo", Some("42".to_string()), echo().bind(42).fetch_one(&mut *conn).await?)?;
    same("echo", Some("text 😀".to_string()), echo().bind("text 😀").fetch_one(&mut *conn).await?)?;
    same("echo", None, echo().bind(None::<i32>).fetch_one(&mut *conn).await?)?;
    same("echo", Some("1.5".to_string()), echo().bind(1.5).fetch_one(&mut *conn).await?)?;
    same("echo", Some(i64::MIN.to_string()), echo().bind(i64::MIN).fetch_one(&mut *conn).await?)?;
    same("echo", Some(String::new()), echo().bind("").fetch_one(&mut *conn).await?)?;
    same("echo", None, echo().bind(None::<String>).fetch_one(&mut *conn).await?)?;
    same("echo", Some("7".to_string()), echo().bind("7").fetch_one(&mut *conn).await?)
}

pub async fn batch() -> Outcome {
    let mut conn = open().await?;
    let orders = table(&mut conn, "orders", ORDERS).await?;
    let mut builder = QueryBuilder::<MySql>::new(format!("INSERT INTO {orders} (id, item, quantity) "));
    builder.push_values(0..BATCH as i64, |mut row, id| {
        row.push_bind(id).push_bind(format!("item '{id}' 😀")).push_bind(id % 7);
    });
    same("affected rows", BATCH, builder.build().execute(&mut conn).await?.rows_affected())?;
    same("rows", BATCH as i64, one(&mut conn, format!("SELECT COUNT(*) FROM {orders}")).await?)?;
    let sum: BigDecimal = one(&mut conn, format!("SELECT SUM(quantity) FROM {orders}")).await?;
    same("sum", "2997".to_string(), sum.to_string())?;
    let item: String = one(&mut conn, format!("SELECT item FROM {orders} WHERE id = 999")).await?;
    same("a row", "item '999' 😀", &item)?;
    let update = sqlx::query(AssertSqlSafe(format!("UPDATE {orders} SET quantity = quantity + ?"))).bind(1);
    same("affected rows", BATCH, update.execute(&mut conn).await?.rows_affected())
}

pub async fn keys() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "keys", "id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)").await?;
    let insert = format!("INSERT INTO {table} (name) VALUES (?)");
    let one_row = sqlx::query(AssertSqlSafe(insert.as_str())).bind("a").execute(&mut conn).await?;
    same("key of one row", 1, one_row.last_insert_id())?;
    same("LAST_INSERT_ID()", 1, one::<u64>(&mut conn, "SELECT LAST_INSERT_ID()").await?)?;
    let several = sqlx::query(AssertSqlSafe(format!("{insert}, (?)"))).bind("b").bind("c").execute(&mut conn).await?;
    same("first key of several rows", 2, several.last_insert_id())?;
    let text = sqlx::raw_sql(AssertSqlSafe(format!("INSERT INTO {table} (name) VALUES ('d')")));
    same("key of a text statement", 4, conn.execute(text).await?.last_insert_id())?;
    let names: Vec<String> = all(&mut conn, format!("SELECT name FROM {table} ORDER BY id")).await?;
    same("names", vec!["a", "b", "c", "d"], names.iter().map(String::as_str).collect())
}

pub async fn stream() -> Outcome {
    let mut conn = open().await?;
    let people = table(&mut conn, "people", PEOPLE).await?;
    for insert in fill_people(&people) {
        run(&mut conn, insert).await?;
    }
    let sql = format!("SELECT id, name FROM {people} ORDER BY id");
    let mut id = 0;
    let mut rows = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch(&mut conn);
    while let Some(row) = rows.next().await {
        let row = row?;
        same("row", (id, format!("person {id}")), (row.try_get(0)?, row.try_get(1)?))?;
        id += 1;
    }
    drop(rows);
    same("rows", STREAMED as i64, id)?;
    same("second statement", 1, one::<i64>(&mut conn, "SELECT 1").await?)?;
    let mut rows = sqlx::query_as::<_, (i64, String)>(AssertSqlSafe(sql)).fetch(&mut conn);
    let first = rows.next().await.transpose()?;
    same("first row", Some((0, "person 0".to_string())), first)?;
    drop(rows);
    same("after leaving early", STREAMED as i64, one(&mut conn, format!("SELECT COUNT(*) FROM {people}")).await?)
}

/// What each result of a text has: its affected rows, or the first column of its rows.
async fn results(conn: &mut MySqlConnection, sql: String) -> Result<Vec<(u64, Vec<String>)>, sqlx::Error> {
    let mut results = Vec::new();
    let mut rows = Vec::new();
    let mut steps = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(conn);
    while let Some(step) = steps.next().await {
        match step? {
            Either::Right(row) => rows.push(row.try_get_unchecked(0)?),
            Either::Left(done) => results.push((done.rows_affected(), std::mem::take(&mut rows))),
        }
    }
    Ok(results)
}

pub async fn multi() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "multi", "id INT PRIMARY KEY, name VARCHAR(20)").await?;
    let sql = format!(
        "SELECT 'x'; INSERT INTO {table} VALUES (1, 'a;b'), (2, 'c'); SELECT name FROM {table} ORDER BY id; SELECT 'y'"
    );
    let texts = |values: &[&str]| values.iter().map(|text| text.to_string()).collect::<Vec<String>>();
    let expected = vec![(0, texts(&["x"])), (2, vec![]), (0, texts(&["a;b", "c"])), (0, texts(&["y"]))];
    same("results", expected, results(&mut conn, sql).await?)?;
    let sql = format!("SELECT 'x'; SELECT * FROM {table}_none; SELECT 'z'");
    fails("error in the middle", 1146, results(&mut conn, sql).await)?;
    same("afterwards", 1, one::<i64>(&mut conn, "SELECT 1").await?)?;

    let procedure = name("procedure");
    run(&mut conn, format!("DROP PROCEDURE IF EXISTS {procedure}")).await?;
    let body = "BEGIN SELECT CAST(a AS CHAR); SELECT 'zwei', 2; SET b = a * 2; END";
    run(&mut conn, format!("CREATE PROCEDURE {procedure}(IN a INT, OUT b INT) {body}")).await?;
    let called = results(&mut conn, format!("CALL {procedure}(21, @b)")).await?;
    let rows: Vec<_> = called.into_iter().map(|(_, rows)| rows).collect();
    same("results of CALL", vec![texts(&["21"]), texts(&["zwei"]), vec![]], rows)?;
    same("OUT parameter", 42, one::<i64>(&mut conn, "SELECT @b").await?)?;
    run(&mut conn, format!("DROP PROCEDURE {procedure}")).await?;
    Ok(())
}
