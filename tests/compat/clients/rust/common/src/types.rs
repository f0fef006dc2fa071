//! Every column type with the values at its limits.

use chrono::{NaiveDate, NaiveDateTime};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    UInt(u64),
    Decimal(String),
    Float(f32),
    Double(f64),
    Date(NaiveDate),
    Time(Span),
    DateTime(NaiveDateTime),
    Text(String),
    Bytes(Vec<u8>),
    Bits(u64),
}

/// A value of TIME, which may be negative and longer than a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub is_negative: bool,
    pub hours: u32,
    pub minutes: u8,
    pub seconds: u8,
    pub micros: u32,
}

pub struct Column {
    pub name: &'static str,
    pub sql: &'static str,
    pub values: Vec<Value>,
}

pub const ROWS: usize = 5;

impl Column {
    /// The value in a row; the last row is NULL throughout, shorter lists repeat.
    pub fn in_row(&self, row: usize) -> Value {
        if row == ROWS - 1 {
            Value::Null
        } else {
            self.values[row % self.values.len()].clone()
        }
    }
}

impl Value {
    /// The value as it stands in the text of a statement.
    pub fn literal(&self) -> String {
        match self {
            Value::Null => "NULL".to_string(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) | Value::Bits(number) => number.to_string(),
            Value::Decimal(number) => number.clone(),
            Value::Float(number) => format!("{number:e}"),
            Value::Double(number) => format!("{number:e}"),
            Value::Bytes(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("X'{digits}'")
            }
            Value::Date(day) => format!("'{day}'"),
            Value::DateTime(moment) => format!("'{}'", moment.format("%Y-%m-%d %H:%M:%S%.6f")),
            Value::Time(span) => format!("'{}'", span.text()),
            Value::Text(text) => {
                let escaped = text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0");
                format!("'{escaped}'")
            }
        }
    }
}

impl Span {
    pub fn text(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}{:02}:{:02}:{:02}.{:06}", self.hours, self.minutes, self.seconds, self.micros)
    }

    pub fn parse(text: &str) -> Option<Span> {
        let (is_negative, size) = match text.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, text),
        };
        let (clock, micros) = size.split_once('.').unwrap_or((size, "0"));
        let mut parts = clock.split(':');
        Some(Span {
            is_negative,
            hours: parts.next()?.parse().ok()?,
            minutes: parts.next()?.parse().ok()?,
            seconds: parts.next()?.parse().ok()?,
            micros: micros.parse().ok()?,
        })
    }
}

pub fn definition() -> String {
    let columns: Vec<String> = columns().iter().map(|column| format!("{} {}", column.name, column.sql)).collect();
    format!("id INT PRIMARY KEY, {}", columns.join(", "))
}

pub fn columns() -> Vec<Column> {
    [integers(), fractions(), times(), texts(), bytes()].into_iter().flatten().collect()
}

fn column(name: &'static str, sql: &'static str, values: Vec<Value>) -> Column {
    Column { name, sql, values }
}

fn integers() -> Vec<Column> {
    let int = |name, sql, low, high| column(name, sql, vec![Value::Int(low), Value::Int(high), Value::Int(0)]);
    let uint = |name, sql, high| column(name, sql, vec![Value::UInt(0), Value::UInt(high)]);
    vec![
        int("tiny", "TINYINT", -128, 127),
        uint("tiny_u", "TINYINT UNSIGNED", 255),
        int("small", "SMALLINT", -32768, 32767),
        uint("small_u", "SMALLINT UNSIGNED", 65535),
        int("medium", "MEDIUMINT", -8388608, 8388607),
        uint("medium_u", "MEDIUMINT UNSIGNED", 16777215),
        int("plain", "INT", i32::MIN.into(), i32::MAX.into()),
        uint("plain_u", "INT UNSIGNED", u32::MAX.into()),
        int("big", "BIGINT", i64::MIN, i64::MAX),
        uint("big_u", "BIGINT UNSIGNED", u64::MAX),
        column("years", "YEAR", vec![Value::UInt(1901), Value::UInt(2155)]),
        column("bits", "BIT(64)", vec![Value::Bits(u64::MAX), Value::Bits(1), Value::Bits(1 << 63)]),
    ]
}

fn fractions() -> Vec<Column> {
    let decimals = [
        "99999999999999999999999999999999999.999999999999999999999999999999",
        "-12345678901234567890123456789012345.000000000000000000000000000001",
        "0.000000000000000000000000000000",
    ];
    let floats = [1.5, -3.40282e38, 1.17549e-38];
    let doubles = [0.1, -1.7976931348623157e308, 2.2250738585072014e-308];
    vec![
        column("exact", "DECIMAL(65,30)", decimals.map(|text| Value::Decimal(text.to_string())).to_vec()),
        column("single", "FLOAT", floats.map(Value::Float).to_vec()),
        column("twice", "DOUBLE", doubles.map(Value::Double).to_vec()),
    ]
}

fn times() -> Vec<Column> {
    let days = ["1000-01-01", "9999-12-31", "2024-02-29"];
    let spans = ["-838:59:59.000000", "838:59:59.000000", "-30:00:00.000001", "100:59:59.999999"];
    let moments = ["1000-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.000001"];
    let stamps = ["1970-01-01 00:00:01.000000", "2038-01-19 03:14:07.999999"];
    let moment = |text: &str| Value::DateTime(text.replace(' ', "T").parse().expect("a moment"));
    vec![
        column("day", "DATE", days.map(|text| Value::Date(text.parse().expect("a day"))).to_vec()),
        column("span", "TIME(6)", spans.map(|text| Value::Time(Span::parse(text).expect("a span"))).to_vec()),
        column("moment", "DATETIME(6)", moments.map(moment).to_vec()),
        column("stamp", "TIMESTAMP(6) NULL", stamps.map(moment).to_vec()),
    ]
}

fn texts() -> Vec<Column> {
    let of = |name, sql, values: &[&str]| {
        column(name, sql, values.iter().map(|text| Value::Text(text.to_string())).collect())
    };
    let longest = "x".repeat(65535);
    vec![
        of("fixed", "CHAR(5)", &["", "a'b\\c", "żółć😀"]),
        of("variable", "VARCHAR(100)", &["", "trailing ", "quotes ' \" ` and \\ \n \t \0 end", "e\u{301}😀"]),
        of("long_text", "TEXT", &[&longest, "", "𝄞"]),
        of("one_of", "ENUM('small','größer','x''y')", &["small", "größer", "x'y"]),
        of("some_of", "SET('a','b','ü')", &["", "a,b", "a,b,ü"]),
        of("document", "JSON", &["{\"a\": [1, 2.5, \"é😀\", null, true]}", "[]", "null"]),
    ]
}

fn bytes() -> Vec<Column> {
    let all: Vec<u8> = (0..=255).collect();
    vec![
        column("fixed_bin", "BINARY(4)", vec![Value::Bytes(vec![0, 1, 2, 3]), Value::Bytes(vec![255, 0, 39, 92])]),
        column("variable_bin", "VARBINARY(256)", vec![Value::Bytes(all.clone()), Value::Bytes(vec![])]),
        column("long_bin", "BLOB", vec![Value::Bytes(all), Value::Bytes(vec![])]),
    ]
}
