//! Values there and back.

use crate::client::{code, one, open, table};
use compat_common::types::{columns, definition, Column, Span, Value, ROWS};
use compat_common::{holds, random_bytes, same, wrong, Failure, Outcome, LARGE, TEXT};
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Params, Row, Value as Raw};

pub async fn types_text() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "types_text", &definition()).await?;
    for row in 0..ROWS {
        let literals: Vec<String> = columns().iter().map(|column| column.in_row(row).literal()).collect();
        conn.query_drop(format!("INSERT INTO {table} VALUES ({row}, {})", literals.join(", "))).await?;
        same("affected rows", 1, conn.affected_rows())?;
    }
    compare(conn.query(format!("SELECT * FROM {table} ORDER BY id")).await?)
}

pub async fn types_prepared() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "types_prepared", &definition()).await?;
    let insert = conn.prep(format!("INSERT INTO {table} VALUES (?{})", ", ?".repeat(columns().len()))).await?;
    for row in 0..ROWS {
        let mut values = vec![Raw::from(row)];
        values.extend(columns().iter().map(|column| parameter(column.in_row(row))));
        conn.exec_drop(&insert, Params::Positional(values)).await?;
        same("affected rows", 1, conn.affected_rows())?;
    }
    compare(conn.exec(format!("SELECT * FROM {table} WHERE id < ? ORDER BY id"), (ROWS,)).await?)
}

fn parameter(value: Value) -> Raw {
    match value {
        Value::Null => Raw::NULL,
        Value::Int(number) => number.into(),
        Value::UInt(number) | Value::Bits(number) => number.into(),
        Value::Decimal(text) | Value::Text(text) => text.into(),
        Value::Float(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Date(day) => day.into(),
        Value::DateTime(moment) => moment.into(),
        Value::Bytes(bytes) => bytes.into(),
        Value::Time(span) => {
            let (days, hours) = (span.hours / 24, (span.hours % 24) as u8);
            Raw::Time(span.is_negative, days, hours, span.minutes, span.seconds, span.micros)
        }
    }
}

fn compare(rows: Vec<Row>) -> Outcome {
    same("rows", ROWS, rows.len())?;
    let mut faults = Vec::new();
    for (number, row) in rows.into_iter().enumerate() {
        for column in columns() {
            let expected = column.in_row(number);
            let raw: Raw = row.get(column.name).ok_or_else(|| Failure::Wrong(format!("no column {}", column.name)))?;
            match read(&column, raw.clone()) {
                Some(value) if value == expected => (),
                other => faults.push(format!("{} in row {number}: {other:?} of {raw:?}", column.name)),
            }
        }
    }
    holds(&faults.join("; ").chars().take(2000).collect::<String>(), faults.is_empty())
}

/// The value as the kind that the column's values have.
fn read(column: &Column, raw: Raw) -> Option<Value> {
    fn typed<T: FromValue>(raw: Raw) -> Option<T> {
        mysql_async::from_value_opt(raw).ok()
    }
    if raw == Raw::NULL {
        return Some(Value::Null);
    }
    Some(match &column.values[0] {
        Value::Int(_) => Value::Int(typed(raw)?),
        Value::UInt(_) => Value::UInt(typed(raw)?),
        Value::Decimal(_) => Value::Decimal(typed(raw)?),
        Value::Float(_) => Value::Float(typed(raw)?),
        Value::Double(_) => Value::Double(typed(raw)?),
        Value::Date(_) => Value::Date(typed(raw)?),
        Value::DateTime(_) => Value::DateTime(typed(raw)?),
        Value::Text(_) => Value::Text(typed(raw)?),
        Value::Bytes(_) => Value::Bytes(typed(raw)?),
        Value::Bits(_) => Value::Bits(u64::from_be_bytes(typed::<Vec<u8>>(raw)?.try_into().ok()?)),
        Value::Time(_) => Value::Time(match raw {
            Raw::Time(is_negative, days, hours, minutes, seconds, micros) => {
                Span { is_negative, hours: days * 24 + u32::from(hours), minutes, seconds, micros }
            }
            other => Span::parse(&typed::<String>(other)?)?,
        }),
        Value::Null => return None,
    })
}

pub async fn unicode() -> Outcome {
    let mut conn = open().await?;
    let table = table(&mut conn, "unicode", "id INT PRIMARY KEY, `größe_日本` VARCHAR(100)").await?;
    conn.query_drop(format!("INSERT INTO {table} VALUES (1, '{TEXT}')")).await?;
    let sql = format!("SELECT `größe_日本`, '😀e\u{301}' AS `señal_e\u{301}` FROM {table}");
    let row: Row = conn.query_first(sql).await?.ok_or_else(|| Failure::Wrong("no row".into()))?;
    same("name of a column", "größe_日本", &row.columns_ref()[0].name_str())?;
    same("alias", "señal_e\u{301}", &row.columns_ref()[1].name_str())?;
    same("value", Some(TEXT.to_string()), row.get("größe_日本"))?;
    same("literal", Some("😀e\u{301}".to_string()), row.get(1))?;
    let like = format!("SELECT COUNT(*) FROM {table} WHERE `größe_日本` LIKE '😀%𝄞%'");
    same("found by value", 1, one(&mut conn, &like).await?)?;
    same("bytes", 8, one(&mut conn, "SELECT LENGTH('😀𝄞')").await?)?;
    match conn.query_drop(format!("SELECT `žluťoučký_日本` FROM {table}")).await {
        Ok(()) => wrong("unknown column: no error"),
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
    conn.query_drop(format!("INSERT INTO {table} VALUES (1, {literal})")).await?;
    same("affected rows", 1, conn.affected_rows())?;
    let sql = format!("SELECT value FROM {table}");
    holds("the value by text", one::<Vec<u8>>(&mut conn, &sql).await? == value)?;
    // Parameters too long for one packet are sent ahead, in pieces.
    conn.exec_drop(format!("INSERT INTO {table} VALUES (2, ?)"), (value.clone(),)).await?;
    let back: Option<Vec<u8>> = conn.exec_first(format!("{sql} WHERE id = ?"), (2,)).await?;
    holds("the value by a prepared statement", back == Some(value))?;
    conn.query_drop(format!("DROP TABLE {table}")).await?;
    Ok(())
}
