"""What has to be known of a server before its log is read."""

from __future__ import annotations

import re
from typing import Final

from migrate.binlog import events
from migrate.binlog.errors import SourceRefused
from migrate.binlog.layout import text_rows
from migrate.binlog.position import Position
from shardproxy.backends.engine import Connection
from shardproxy.errors import ServerError

_SYNTAX_ERROR: Final = 1064
_VARIABLES: Final = (
    "log_bin",
    "server_id",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_value_options",
    "binlog_transaction_compression",
)
_GRANT_ON_ALL: Final = re.compile(r"GRANT (.*) ON \*\.\* TO ", re.IGNORECASE)


async def current_position(connection: Connection) -> Position:
    """Where the server's log ends now. Raises `SourceRefused` where it has none or does not tell this account."""
    row = await _status(connection)
    if row is None:
        raise SourceRefused(0, "the server has no binary log (log_bin)")
    return Position(row[0], int(row[1]))


async def preflight(connection: Connection) -> list[str]:
    """What forbids to read changes of the connection's schema from this server's log, in words for an operator; nothing if all is well."""
    wanted = ", ".join(f"'{name}'" for name in _VARIABLES)
    found = {row[0]: row[1] for row in await text_rows(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})")}
    if found.get("log_bin", "OFF").upper() != "ON":
        return ["log_bin is off: the server keeps no binary log"]
    faults = []
    for name, right in (("binlog_format", "ROW"), ("binlog_row_image", "FULL")):
        value = found.get(name, right)
        if value.upper() != right:
            faults.append(f"{name} is {value}: changes of rows are not logged in full; set it to {right} and close sessions that are older")
    if found.get("binlog_row_value_options"):
        faults.append("binlog_row_value_options is not empty: changes of JSON values are logged in part; set it to ''")
    if found.get("binlog_transaction_compression", "OFF").upper() == "ON" and events.zstandard is None:
        faults.append("binlog_transaction_compression is ON, and the Python package zstandard is not installed here")
    if found.get("server_id") == "0":
        faults.append("server_id is 0: the server does not hand out its log")
    if not await _may_replicate(connection):
        faults.append("the account lacks REPLICATION SLAVE ON *.*")
    try:
        row = await _status(connection)
    except SourceRefused as error:
        faults.append(f"{error}; grant REPLICATION CLIENT (MariaDB: BINLOG MONITOR) ON *.*")
    else:
        faults += _filters(row, connection.schema)
    return faults


def _filters(row: tuple[str, ...] | None, schema: str) -> list[str]:
    """Filters of whole schemas, as the status tells them."""
    if row is None:
        return ["the server tells no position of its binary log"]
    only, ignored = ([name.strip() for name in text.split(",") if name.strip()] for text in row[2:4])
    if schema in ignored or (only and schema not in only):
        return [f"binlog_do_db or binlog_ignore_db keeps changes of schema {schema} out of the log"]
    return []


async def _status(connection: Connection) -> tuple[str, ...] | None:
    try:
        try:
            rows = await text_rows(connection, "SHOW MASTER STATUS")
        except ServerError as error:
            if error.errno != _SYNTAX_ERROR:
                raise
            rows = await text_rows(connection, "SHOW BINARY LOG STATUS")
    except ServerError as error:
        raise SourceRefused(error.errno, error.message) from None
    return rows[0] if rows else None


async def _may_replicate(connection: Connection) -> bool:
    for grant, *_ in await text_rows(connection, "SHOW GRANTS"):
        match = _GRANT_ON_ALL.match(grant)
        if match and {"ALL PRIVILEGES", "REPLICATION SLAVE"} & {name.strip().upper() for name in match[1].split(",")}:
            return True
    return False
