"""The protocol's numbers: capabilities, commands, status bits, column types and column flags."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final


class Capability(IntFlag):
    """Capability flags that a client and a server agree on in the handshake."""

    LONG_PASSWORD = 1 << 0
    FOUND_ROWS = 1 << 1
    LONG_FLAG = 1 << 2
    CONNECT_WITH_DB = 1 << 3
    COMPRESS = 1 << 5
    ODBC = 1 << 6
    LOCAL_FILES = 1 << 7
    IGNORE_SPACE = 1 << 8
    PROTOCOL_41 = 1 << 9
    INTERACTIVE = 1 << 10
    SSL = 1 << 11
    IGNORE_SIGPIPE = 1 << 12
    TRANSACTIONS = 1 << 13
    RESERVED = 1 << 14
    SECURE_CONNECTION = 1 << 15
    MULTI_STATEMENTS = 1 << 16
    MULTI_RESULTS = 1 << 17
    PS_MULTI_RESULTS = 1 << 18
    PLUGIN_AUTH = 1 << 19
    CONNECT_ATTRS = 1 << 20
    LENENC_CLIENT_DATA = 1 << 21
    SESSION_TRACK = 1 << 23
    ZSTD_COMPRESSION = 1 << 26


# What a client is offered. DEPRECATE_EOF, QUERY_ATTRIBUTES and MariaDB's extensions are left out on purpose:
# the framing is then the same on both legs, so rows can be relayed undecoded (docs/decisions/0002).
OFFERED: Final = (
    Capability.LONG_PASSWORD
    | Capability.FOUND_ROWS
    | Capability.LONG_FLAG
    | Capability.CONNECT_WITH_DB
    | Capability.ODBC
    | Capability.LOCAL_FILES
    | Capability.PROTOCOL_41
    | Capability.INTERACTIVE
    | Capability.IGNORE_SIGPIPE
    | Capability.TRANSACTIONS
    | Capability.RESERVED
    | Capability.SECURE_CONNECTION
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.PLUGIN_AUTH
    | Capability.CONNECT_ATTRS
    | Capability.LENENC_CLIENT_DATA
    | Capability.SESSION_TRACK
)


class Command(IntEnum):
    """First byte of a client's command packet."""

    SLEEP = 0x00
    QUIT = 0x01
    INIT_DB = 0x02
    QUERY = 0x03
    FIELD_LIST = 0x04
    CREATE_DB = 0x05
    DROP_DB = 0x06
    REFRESH = 0x07
    SHUTDOWN = 0x08
    STATISTICS = 0x09
    PROCESS_INFO = 0x0A
    CONNECT = 0x0B
    PROCESS_KILL = 0x0C
    DEBUG = 0x0D
    PING = 0x0E
    CHANGE_USER = 0x11
    BINLOG_DUMP = 0x12
    STMT_PREPARE = 0x16
    STMT_EXECUTE = 0x17
    STMT_SEND_LONG_DATA = 0x18
    STMT_CLOSE = 0x19
    STMT_RESET = 0x1A
    SET_OPTION = 0x1B
    STMT_FETCH = 0x1C
    RESET_CONNECTION = 0x1F


# Status bits in OK and EOF packets.
IN_TRANSACTION: Final = 0x0001
AUTOCOMMIT: Final = 0x0002
MORE_RESULTS: Final = 0x0008
CURSOR_EXISTS: Final = 0x0040
LAST_ROW_SENT: Final = 0x0080
IN_TRANSACTION_READONLY: Final = 0x2000
SESSION_STATE_CHANGED: Final = 0x4000
# Bits that belong to the client's session; everything else in a terminal packet is the server's to say.
SESSION_STATUS_MASK: Final = IN_TRANSACTION | AUTOCOMMIT | IN_TRANSACTION_READONLY | SESSION_STATE_CHANGED


class ColumnType(IntEnum):
    """Type byte of a column definition."""

    DECIMAL = 0
    TINY = 1
    SHORT = 2
    LONG = 3
    FLOAT = 4
    DOUBLE = 5
    NULL = 6
    TIMESTAMP = 7
    LONGLONG = 8
    INT24 = 9
    DATE = 10
    TIME = 11
    DATETIME = 12
    YEAR = 13
    VARCHAR = 15
    BIT = 16
    JSON = 245
    NEWDECIMAL = 246
    ENUM = 247
    SET = 248
    TINY_BLOB = 249
    MEDIUM_BLOB = 250
    LONG_BLOB = 251
    BLOB = 252
    VAR_STRING = 253
    STRING = 254
    GEOMETRY = 255


INTEGER_TYPES: Final = frozenset(
    (ColumnType.TINY, ColumnType.SHORT, ColumnType.LONG, ColumnType.LONGLONG, ColumnType.INT24, ColumnType.YEAR)
)
DECIMAL_TYPES: Final = frozenset((ColumnType.DECIMAL, ColumnType.NEWDECIMAL))
FLOAT_TYPES: Final = frozenset((ColumnType.FLOAT, ColumnType.DOUBLE))
TEMPORAL_TYPES: Final = frozenset((ColumnType.DATE, ColumnType.DATETIME, ColumnType.TIMESTAMP))
STRING_TYPES: Final = frozenset(
    (
        ColumnType.VARCHAR,
        ColumnType.VAR_STRING,
        ColumnType.STRING,
        ColumnType.TINY_BLOB,
        ColumnType.MEDIUM_BLOB,
        ColumnType.LONG_BLOB,
        ColumnType.BLOB,
        ColumnType.ENUM,
        ColumnType.SET,
    )
)

NOT_NULL_FLAG: Final = 0x0001
UNSIGNED_FLAG: Final = 0x0020
BINARY_FLAG: Final = 0x0080
ENUM_FLAG: Final = 0x0100
SET_FLAG: Final = 0x0800
BINARY_CHARSET: Final = 63
