//! Values there and back.

use crate::client::{code, one, open, run, table};
use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use compat_common::types::{columns, definition, Column, Span, Value, ROWS};
use compat_common::{holds, random_bytes, same, wrong, Outcome, LARGE, TEXT};
use sqlx::mysql::types::{MySqlTime, MySqlTimeSign};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column as _, Decode, Error, Executor, MySql, Row, Type};

pub async fn types_text() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "types_text", &definition()).await?;
    for row in 0..ROWS {
        let literals: Vec<String> = columns().iter().map(|column| column.in_row(row).literal()).collect();
        let affected = run(&mut conn, format!("INSERT INTO {table} VALUES ({row}, {})", literals.join(", "))).await?;
        same("affected rows", 1, affected)?;
    }
    compare(conn.fetch_all(sqlx::raw_sql(AssertSqlSafe(format!("SELECT * FROM {table} ORDER BY id")))).await?)
}

pub async fn types_prepared() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "types_prepared", &definition()).await?;
    let sql = format!("INSERT INTO {table} VALUES (?{})", ", ?".repeat(columns().len()));
    for row in 0..ROWS {
        let mut insert = sqlx::query(AssertSqlSafe(sql.as_str())).bind(row as u64);
        for column in columns() {
            insert = bind(insert, &column, column.in_row(row))?;
        }
        same("affected rows", 1, insert.execute(&mut conn).await?.rows_affected())?;
    }
    let select = sqlx::query(AssertSqlSafe(format!("SELECT * FROM {table} WHERE id < ? ORDER BY id")));
    compare(select.bind(ROWS as u64).fetch_all(&mut conn).await?)
}

type Statement<'q> = Query<'q, MySql, MySqlArguments>;

fn bind<'q>(query: Statement<'q>, column: &Column, value: Value) -> Outcome<Statement<'q>> {
    Ok(match value {
        // A missing value has a type too, that of the column's others.
        Value::Null => match &column.values[0] {
            Value::Int(_) => query.bind(None::<i64>),
            Value::Bytes(_) => query.bind(None::<Vec<u8>>),
            Value::DateTime(_) => query.bind(None::<NaiveDateTime>),
            _ => query.bind(None::<String>),
        },
        Value::Int(number) => query.bind(number),
        Value::UInt(number) | Value::Bits(number) => query.bind(number),
        Value::Decimal(text) => query.bind(text.parse::<BigDecimal>()?),
        Value::Float(number) => query.bind(number),
        Value::Double(number) => query.bind(number),
        Value::Date(day) => query.bind(day),
        Value::DateTime(moment) => query.bind(moment),
        Value::Text(text) => query.bind(text),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Time(span) => {
            let sign = if span.is_negative { MySqlTimeSign::Negative } else { MySqlTimeSign::Positive };
            query.bind(MySqlTime::new(sign, span.hours, span.minutes, span.seconds, span.micros)?)
        }
    })
}

fn compare(rows: Vec<MySqlRow>) -> Outcome {
    same("rows", ROWS, rows.len())?;
    let mut faults = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        for column in columns() {
            let expected = column.in_row(number);
            match read(&column, row) {
                Ok(value) if value == expected => (),
                other => faults.push(format!("{} in row {number}: {other:?}", column.name)),
            }
        }
    }
    holds(&faults.join("; ").chars().take(2000).collect::<String>(), faults.is_empty())
}

/// The value as the kind that the column's values have.
fn read(column: &Column, row: &MySqlRow) -> Result<Value, Error> {
    fn typed<'r, T>(row: &'r MySqlRow, column: &Column, value: impl Fn(T) -> Value) -> Result<Value, Error>
    where
        T: Decode<'r, MySql> + Type<MySql>,
    {
        Ok(row.try_get::<Option<T>, _>(column.name)?.map_or(Value::Null, value))
    }
    match &column.values[0] {
        Value::Int(_) => typed(row, column, Value::Int),
        Value::UInt(_) => typed(row, column, Value::UInt),
        Value::Bits(_) => typed(row, column, Value::Bits),
        Value::Decimal(_) => typed(row, column, |number: BigDecimal| Value::Decimal(number.to_plain_string())),
        Value::Float(_) => typed(row, column, Value::Float),
        Value::Double(_) => typed(row, column, Value::Double),
        Value::Date(_) => typed(row, column, |day: NaiveDate| Value::Date(day)),
        Value::DateTime(_) if column.sql.starts_with("TIMESTAMP") => {
            typed(row, column, |moment: DateTime<Utc>| Value::DateTime(moment.naive_utc()))
        }
        Value::DateTime(_) => typed(row, column, |moment: NaiveDateTime| Value::DateTime(moment)),
        Value::Bytes(_) => typed(row, column, Value::Bytes),
        Value::Time(_) => typed(row, column, |time: MySqlTime| {
            Value::Time(Span {
                is_negative: time.sign() == MySqlTimeSign::Negative, // is_negative() says the contrary
                hours: time.hours(),
                minutes: time.minutes(),
                seconds: time.seconds(),
                micros: time.microseconds(),
            })
        }),
        // JSON of MySQL is no text to the driver, and that of MariaDB is.
        Value::Text(_) | Value::Null => {
            Ok(row.try_get_unchecked::<Option<String>, _>(column.name)?.map_or(Value::Null, Value::Text))
        }
    }
}

pub async fn unicode() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "unicode", "id INT PRIMARY KEY, `größe_日本` VARCHAR(100)").await?;
    run(&mut conn, format!("INSERT INTO {table} VALUES (1, '{TEXT}')")).await?;
    let sql = format!("SELECT `größe_日本`, '😀e\u{301}' AS `señal_e\u{301}` FROM {table}");
    let row = conn.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    same("name of a column", "größe_日本", row.columns()[0].name())?;
    same("alias", "señal_e\u{301}", row.columns()[1].name())?;
    same("value", TEXT.to_string(), row.try_get("größe_日本")?)?;
    same("literal", "😀e\u{301}".to_string(), row.try_get(1)?)?;
    let like = format!("SELECT COUNT(*) FROM {table} WHERE `größe_日本` LIKE '😀%𝄞%'");
    same("found by value", 1, one::<i64>(&mut conn, like).await?)?;
    same("bytes", 8, one::<i64>(&mut conn, "SELECT LENGTH('😀𝄞')").await?)?;
    match run(&mut conn, format!("SELECT `žluťoučký_日本` FROM {table}")).await {
        Ok(_) => wrong("unknown column: no error"),
        Err(error) => {
            same("unknown column", Some(1054), code(&error))?;
            holds(&format!("message {error}"), error.to_string().contains("žluťoučký_日本"))
        }
    }
}

pub async fn large() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "large", "id INT PRIMARY KEY, value LONGBLOB NOT NULL").await?;
    let value = random_bytes(LARGE);
    let literal = Value::Bytes(value.clone()).literal();
    same("affected rows", 1, run(&mut conn, format!("INSERT INTO {table} VALUES (1, {literal})")).await?)?;
    // At the beginning of a row, the driver takes a value of this length for the end of the rows.
    let select = format!("SELECT id, value FROM {table} WHERE id = 1");
    let row = conn.fetch_one(sqlx::raw_sql(AssertSqlSafe(select))).await?;
    holds("the value by text", row.try_get::<Vec<u8>, _>(1)? == value)?;
    let insert = sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} VALUES (2, ?)")));
    insert.bind(value.clone()).execute(&mut conn).await?;
    let select = sqlx::query_scalar::<_, Vec<u8>>(AssertSqlSafe(format!("SELECT value FROM {table} WHERE id = ?")));
    holds("the value by a prepared statement", select.bind(2).fetch_one(&mut conn).await? == value)?;
    run(&mut conn, format!("DROP TABLE {table}")).await?;
    Ok(())
}
