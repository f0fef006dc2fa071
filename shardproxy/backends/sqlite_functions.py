"""What MySQL has and SQLite lacks, as far as the demo's visitors ask for it: functions and system variables."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any

COLLATION = "utf8mb4_nopad_bin"
# Clients read a feature set out of the version; it has to be one that exists.
SERVER_VERSION = "10.11.0-MariaDB-sqlite"

SYSTEM_VARIABLES: dict[str, str | int] = {
    "auto_increment_increment": 1,
    "auto_increment_offset": 1,
    "autocommit": 1,
    "character_set_client": "utf8mb4",
    "character_set_connection": "utf8mb4",
    "character_set_database": "utf8mb4",
    "character_set_results": "utf8mb4",
    "character_set_server": "utf8mb4",
    "collation_connection": COLLATION,
    "collation_database": COLLATION,
    "collation_server": COLLATION,
    "default_storage_engine": "SQLite",
    "foreign_key_checks": 1,
    "hostname": "localhost",
    "init_connect": "",
    "interactive_timeout": 28800,
    "license": "Apache-2.0",
    "lower_case_table_names": 0,
    "max_allowed_packet": 67108864,
    "net_write_timeout": 60,
    "performance_schema": 0,
    "sql_mode": "STRICT_TRANS_TABLES",
    "sql_safe_updates": 0,
    "system_time_zone": "UTC",
    "time_zone": "SYSTEM",
    "transaction_isolation": "SERIALIZABLE",
    "tx_isolation": "SERIALIZABLE",
    "tx_read_only": 0,
    "unique_checks": 1,
    "version": SERVER_VERSION,
    "version_comment": f"shardproxy over SQLite {sqlite3.sqlite_version}",
    "version_compile_os": "Linux",
    "wait_timeout": 28800,
}


def register(db: sqlite3.Connection) -> None:
    """Give a connection all functions."""
    for name, arguments, function in _FUNCTIONS:
        db.create_function(name, arguments, function)


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL in, NULL out."""
    return lambda *values: None if None in values else function(*values)


def _date_part(start: int, end: int) -> Callable[..., Any]:
    """A number that stands at these places of `YYYY-MM-DD HH:MM:SS`; None for a text that has none there."""

    def part(value: object) -> int | None:
        digits = str(value)[start:end]
        return int(digits) if digits.isdigit() else None

    return _strict(part)


def _sha2(value: object, bits: int) -> str | None:
    names = {0: "sha256", 224: "sha224", 256: "sha256", 384: "sha384", 512: "sha512"}
    return hashlib.new(names[bits], _bytes(value)).hexdigest() if bits in names else None


def _substring_index(value: object, mark: str, count: int) -> str:
    parts = str(value).split(mark) if mark else [""]
    return mark.join(parts[:count] if count >= 0 else parts[count:])


def _truncate(value: float, digits: int) -> float:
    unit: float = 10.0**digits
    return math.trunc(value * unit) / unit


def _field(wanted: object, *choices: object) -> int:
    return choices.index(wanted) + 1 if wanted is not None and wanted in choices else 0


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _now() -> str:
    return dt.datetime.now().replace(microsecond=0).isoformat(" ")  # noqa: DTZ005 (a session's local time, as in MySQL)


_FUNCTIONS: list[tuple[str, int, Callable[..., Any]]] = [
    # The planner asks for these two wherever it has to order strings of several shards.
    ("WEIGHT_STRING", 1, lambda value: value.encode() if isinstance(value, str) else None),
    ("COLLATION", 1, lambda value: COLLATION if isinstance(value, str) else "binary"),
    # Strings
    ("CONCAT", -1, _strict(lambda *values: "".join(map(str, values)))),
    ("CONCAT_WS", -1, lambda mark, *values: None if mark is None else mark.join(str(v) for v in values if v is not None)),
    ("LEFT", 2, _strict(lambda value, count: str(value)[: max(count, 0)])),
    ("RIGHT", 2, _strict(lambda value, count: str(value)[-count:] if count > 0 else "")),
    ("LENGTH", 1, _strict(lambda value: len(_bytes(value)))),
    ("CHAR_LENGTH", 1, _strict(lambda value: len(str(value)))),
    ("REVERSE", 1, _strict(lambda value: str(value)[::-1])),
    ("REPEAT", 2, _strict(lambda value, count: str(value) * min(max(count, 0), 1 << 16))),
    ("LPAD", 3, _strict(lambda value, size, fill: str(value)[:size].rjust(min(size, 1 << 16), str(fill)[:1] or " "))),
    ("RPAD", 3, _strict(lambda value, size, fill: str(value)[:size].ljust(min(size, 1 << 16), str(fill)[:1] or " "))),
    ("LOCATE", 2, _strict(lambda part, value: str(value).find(str(part)) + 1)),
    ("SUBSTRING_INDEX", 3, _strict(_substring_index)),
    ("FIELD", -1, _field),
    ("FIND_IN_SET", 2, _strict(lambda value, items: _field(str(value), *str(items).split(",")))),
    ("REGEXP", 2, _strict(lambda pattern, value: int(re.search(str(pattern), str(value)) is not None))),
    ("HEX", 1, _strict(lambda value: f"{value:X}" if isinstance(value, int) else _bytes(value).hex().upper())),
    ("MD5", 1, _strict(lambda value: hashlib.md5(_bytes(value), usedforsecurity=False).hexdigest())),
    ("SHA1", 1, _strict(lambda value: hashlib.sha1(_bytes(value), usedforsecurity=False).hexdigest())),
    ("SHA2", 2, _strict(_sha2)),
    ("UUID", 0, lambda: str(uuid.uuid4())),
    # Numbers
    ("TRUNCATE", 2, _strict(_truncate)),
    ("POW", 2, _strict(lambda base, exponent: float(base) ** exponent)),
    ("SLEEP", 1, lambda seconds: 0),
    # Dates
    ("NOW", 0, _now),
    ("YEAR", 1, _date_part(0, 4)),
    ("MONTH", 1, _date_part(5, 7)),
    ("DAY", 1, _date_part(8, 10)),
    ("DAYOFMONTH", 1, _date_part(8, 10)),
    ("HOUR", 1, _date_part(11, 13)),
    ("MINUTE", 1, _date_part(14, 16)),
    ("SECOND", 1, _date_part(17, 19)),
    ("UNIX_TIMESTAMP", 0, lambda: int(time.time())),
]
