//! What the Rust programs share: the environment, the runner of checks, and the table of types.

pub mod types;

use futures_util::FutureExt;
use std::fmt::Debug;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

pub const BATCH: u64 = 1_000;
pub const STREAMED: u64 = 200_000;
pub const LARGE: usize = 17_000_000;
pub const PEOPLE: &str = "id BIGINT PRIMARY KEY, name VARCHAR(200) NOT NULL, note VARBINARY(200) NULL";
pub const ORDERS: &str = "id BIGINT PRIMARY KEY, item VARCHAR(200) NOT NULL, quantity INT NOT NULL";
pub const TEXT: &str = "😀 e\u{301} ﷽ 𝄞 日本語 \u{202e} ﬀ";

/// A variable of tests/compat/README.md; empty where it is not set.
pub fn env(name: &str) -> String {
    std::env::var(format!("COMPAT_{name}")).unwrap_or_default()
}

/// The full name of one of the program's tables or procedures.
pub fn name(suffix: &str) -> String {
    format!("{}_{suffix}", env("PREFIX"))
}

pub fn port() -> u16 {
    env("PORT").parse().expect("COMPAT_PORT is a number")
}

/// Asked for by `--version`: print that of the driver as it is locked, and leave.
pub fn answer_version(driver: &str) {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        let lock = include_str!("../../Cargo.lock");
        let entry = format!("name = \"{driver}\"\nversion = \"");
        let rest = lock.split(&entry).nth(1).expect("the driver is in the lock");
        println!("{}", rest.split('"').next().unwrap_or_default());
        std::process::exit(0);
    }
}

/// Why a check did not pass. Any error turns into one by `?`.
pub enum Failure {
    Wrong(String),
    Skip(String),
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Wrong(format!("{error} ({error:?})"))
    }
}

pub fn skip<T>(reason: &str) -> Outcome<T> {
    Err(Failure::Skip(reason.to_string()))
}

pub fn wrong<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Failure::Wrong(what.into()))
}

pub fn same<T: PartialEq + Debug>(what: &str, expected: T, actual: T) -> Outcome {
    if expected == actual {
        return Ok(());
    }
    let show = |value: &T| format!("{value:?}").chars().take(200).collect::<String>();
    wrong(format!("{what}: {} instead of {}", show(&actual), show(&expected)))
}

pub fn holds(what: &str, is_so: bool) -> Outcome {
    if is_so {
        Ok(())
    } else {
        wrong(what)
    }
}

/// The variable, or a skip for `reason` where it is empty.
pub fn env_or_skip(name: &str, reason: &str) -> Outcome<String> {
    let value = env(name);
    if value.is_empty() {
        skip(reason)
    } else {
        Ok(value)
    }
}

/// Run one check and print its line.
pub async fn check(name: &str, work: impl Future<Output = Outcome>) {
    let limit = Duration::from_secs(60);
    let guarded = AssertUnwindSafe(work).catch_unwind();
    let line = match tokio::time::timeout(limit, guarded).await {
        Ok(Ok(Ok(()))) => "ok\t".to_string(),
        Ok(Ok(Err(Failure::Skip(reason)))) => format!("skip\t{reason}"),
        Ok(Ok(Err(Failure::Wrong(what)))) => format!("fail\t{what}"),
        Ok(Err(panic)) => format!("fail\tpanic: {:?}", panic.downcast_ref::<String>()),
        Err(_) => format!("fail\tstill waiting after {} s", limit.as_secs()),
    };
    println!("{name}\t{}", line.replace(['\n', '\r'], " "));
}

/// Bytes without a pattern that a packet or a compressor could hide behind.
pub fn random_bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| step()).collect()
}

/// `INSERT`s of ten thousand rows each, that make `STREAMED` rows of people.
pub fn fill_people(table: &str) -> impl Iterator<Item = String> + '_ {
    (0..STREAMED).step_by(10_000).map(move |from| {
        let rows: Vec<String> = (from..from + 10_000).map(|id| format!("({id},'person {id}')")).collect();
        format!("INSERT INTO {table} (id, name) VALUES {}", rows.join(","))
    })
}

/// MySQL answers 1 for an interrupted `SLEEP(30)`, MariaDB error 1317: what came must be one of them.
pub fn interrupted(what: &str, answer: Result<i64, Option<u16>>) -> Outcome {
    match answer {
        Ok(1) | Err(Some(1317)) => Ok(()),
        other => wrong(format!("{what}: {other:?}")),
    }
}
