"""Every error that shardproxy itself can give, in one catalogue, and the exceptions that carry them.

An id is stable: operators search for it and tests name it. The errno and SQLSTATE are those that applications' drivers and
pools already handle; SQLSTATE 0A000 is never used, because connection pools evict the connection on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Fault(Enum):
    """Whose fault an error is; decides how it is counted and logged."""

    CLIENT = "client"
    REFUSED = "refused"
    BACKEND = "backend"
    OPERATOR = "operator"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One entry of the catalogue."""

    id: str
    errno: int
    sqlstate: str
    fault: Fault
    summary: str


CATALOGUE: Final[dict[str, ErrorSpec]] = {}


def _spec(id_: str, errno: int, sqlstate: str, fault: Fault, summary: str) -> ErrorSpec:
    if id_ in CATALOGUE:
        raise AssertionError(f"error id {id_} is used twice")
    if sqlstate == "0A000" or len(sqlstate) != 5:
        raise AssertionError(f"error {id_} has an unusable SQLSTATE {sqlstate}")
    CATALOGUE[id_] = spec = ErrorSpec(id_, errno, sqlstate, fault, summary)
    return spec


# Protocol and login
MALFORMED_PACKET = _spec("SP1001", 1835, "HY000", Fault.CLIENT, "malformed communication packet")
OUT_OF_ORDER = _spec("SP1002", 1156, "08S01", Fault.CLIENT, "packets out of order")
PACKET_TOO_LARGE = _spec("SP1003", 1153, "08S01", Fault.CLIENT, "packet larger than max_allowed_packet")
BAD_HANDSHAKE = _spec("SP1004", 1043, "08S01", Fault.CLIENT, "bad handshake")
TOO_MANY_CONNECTIONS = _spec("SP1005", 1040, "08004", Fault.CLIENT, "too many connections")
ACCESS_DENIED = _spec("SP1006", 1045, "28000", Fault.CLIENT, "access denied")
AUTH_UNUSABLE = _spec("SP1007", 1251, "08004", Fault.CLIENT, "the client's authentication method cannot be used")
UNKNOWN_COMMAND = _spec("SP1008", 1047, "08S01", Fault.CLIENT, "unknown or unsupported command")
SHUTTING_DOWN = _spec("SP1009", 1053, "08S01", Fault.OPERATOR, "the proxy is shutting down")
UNKNOWN_CHARSET = _spec("SP1010", 1115, "42000", Fault.CLIENT, "unknown or unsupported character set")
UNKNOWN_THREAD = _spec("SP1011", 1094, "HY000", Fault.CLIENT, "unknown thread id")
NOT_KILL_OWNER = _spec("SP1012", 1095, "HY000", Fault.CLIENT, "not the owner of that connection")
KILLED = _spec("SP1013", 1927, "70100", Fault.CLIENT, "the connection was killed")
CANNOT_EXPAND = _spec("SP1016", 1157, "08S01", Fault.CLIENT, "a compressed packet cannot be expanded")
PRIVILEGE = _spec("SP1014", 1227, "42000", Fault.CLIENT, "access denied; a privilege is missing")
UNKNOWN_STATEMENT = _spec("SP1020", 1243, "HY000", Fault.CLIENT, "unknown prepared statement")
NO_CURSOR = _spec("SP1021", 1421, "HY000", Fault.CLIENT, "the prepared statement has no open cursor")
WRONG_ARGUMENTS = _spec("SP1025", 1210, "HY000", Fault.CLIENT, "wrong number of values for a prepared statement")
NOT_PREPARABLE = _spec("SP1026", 1295, "HY000", Fault.CLIENT, "the statement cannot be prepared")
TOO_MANY_STATEMENTS = _spec("SP1022", 1461, "42000", Fault.CLIENT, "too many prepared statements")

# Names and syntax
NO_LOCAL_FILE = _spec("SP1024", 1148, "42000", Fault.CLIENT, "LOAD DATA LOCAL is not possible on this connection")
NO_SCHEMA_RIGHT = _spec("SP1023", 1044, "42000", Fault.CLIENT, "no right to use the schema")
UNKNOWN_DATABASE = _spec("SP1101", 1049, "42000", Fault.CLIENT, "unknown database")
NO_DATABASE = _spec("SP1102", 1046, "3D000", Fault.CLIENT, "no database selected")
UNKNOWN_TABLE = _spec("SP1103", 1146, "42S02", Fault.CLIENT, "no such table")
SYNTAX = _spec("SP1104", 1064, "42000", Fault.CLIENT, "the statement cannot be parsed, so it cannot be routed")
TOO_COMPLEX = _spec("SP1105", 1064, "42000", Fault.CLIENT, "the statement is nested too deeply or is too long to be planned")
EMPTY_QUERY = _spec("SP1106", 1065, "42000", Fault.CLIENT, "query was empty")
UNKNOWN_COLUMN = _spec("SP1107", 1054, "42S22", Fault.CLIENT, "unknown column")
BAD_FIELD_COUNT = _spec("SP1108", 1136, "21S01", Fault.CLIENT, "column count does not match value count")
BAD_HINT = _spec("SP1109", 1064, "42000", Fault.CLIENT, "unknown hint in a comment")

# What cannot be done over several shards yet. `tests/plans/refusals.sql` holds a statement for each.
CROSS_SHARD_JOIN = _spec("SP1201", 1235, "42000", Fault.REFUSED, "tables on different shards are joined")
CROSS_SHARD_SUBQUERY = _spec("SP1202", 1235, "42000", Fault.REFUSED, "a subquery, derived table, CTE or UNION needs several shards")
CROSS_SHARD_FUNCTION = _spec("SP1203", 1235, "42000", Fault.REFUSED, "a function cannot be computed over several shards")
CROSS_SHARD_EXPRESSION = _spec("SP1204", 1235, "42000", Fault.REFUSED, "an expression over aggregates cannot be merged from several shards")
CROSS_SHARD_CLAUSE = _spec("SP1205", 1235, "42000", Fault.REFUSED, "a clause cannot be applied over several shards")
CROSS_SHARD_ORDER = _spec("SP1206", 1235, "42000", Fault.REFUSED, "this ordering cannot be merged from several shards")
CROSS_SHARD_WRITE = _spec("SP1207", 1235, "42000", Fault.REFUSED, "this write cannot be split over several shards")
KEY_UPDATE = _spec("SP1208", 1235, "42000", Fault.REFUSED, "the sharding key of a row cannot be changed")
KEY_MISSING = _spec("SP1209", 1235, "42000", Fault.REFUSED, "the sharding key has no value in this INSERT")
KEY_UNPROVABLE = _spec("SP1210", 1235, "42000", Fault.REFUSED, "where the row belongs cannot be told from this sharding key value")
KEY_NO_PARTITION = _spec("SP1211", 1526, "HY000", Fault.CLIENT, "no range holds this sharding key value")
KEY_NULL = _spec("SP1212", 1048, "23000", Fault.CLIENT, "the sharding key cannot be null")
KEY_OUT_OF_RANGE = _spec("SP1213", 1264, "22003", Fault.CLIENT, "the sharding key value is out of range for its column")
AUTO_INCREMENT = _spec("SP1214", 1235, "42000", Fault.REFUSED, "an AUTO_INCREMENT value must be given for a sharded table")
NON_DETERMINISTIC = _spec("SP1215", 1235, "42000", Fault.REFUSED, "a write to every copy of a reference table must give the same on each")
UNSUPPORTED_STATEMENT = _spec("SP1216", 1235, "42000", Fault.REFUSED, "this statement is not supported")
UNSUPPORTED_SETTING = _spec("SP1217", 1235, "42000", Fault.REFUSED, "this variable or value is not supported")
MERGE_LIMIT = _spec("SP1218", 1104, "42000", Fault.REFUSED, "merging this result needs more rows or bytes than allowed")
UNSUPPORTED_TYPE = _spec("SP1219", 1235, "42000", Fault.REFUSED, "values of this type cannot be merged from several shards")
CROSS_SHARD_DDL = _spec("SP1220", 1235, "42000", Fault.REFUSED, "this schema change cannot be carried out over several shards")
DDL_PARTIAL = _spec("SP1221", 1105, "HY000", Fault.BACKEND, "a schema change succeeded on some shards only")
STRAY_ROWS = _spec("SP1222", 1205, "HY000", Fault.REFUSED, "rows are being moved, and this statement could meet them twice; try again")

# The schema as the shards have it, against the config
TABLE_UNUSABLE = _spec("SP1301", 1235, "42000", Fault.OPERATOR, "the table cannot be served as configured; run `shardproxy check`")
CATALOG_MISSING = _spec("SP1302", 1429, "HY000", Fault.BACKEND, "the shards' schema has not been read yet")

# Backends
NO_BACKEND = _spec("SP1401", 1429, "HY000", Fault.BACKEND, "the shard's server cannot be reached")
POOL_TIMEOUT = _spec("SP1402", 1205, "HY000", Fault.BACKEND, "no connection to the shard became free in time")
BACKEND_LOST = _spec("SP1403", 2013, "HY000", Fault.BACKEND, "the shard's server went away during the statement")
QUERY_TIMEOUT = _spec("SP1404", 1969, "70100", Fault.BACKEND, "the statement ran longer than its time limit")
BACKEND_PROTOCOL = _spec("SP1405", 1105, "HY000", Fault.BACKEND, "the shard's server sent something unexpected")
QUEUE_FULL = _spec("SP1406", 1203, "42000", Fault.BACKEND, "too many statements wait for a connection to the shard")
SHARDS_DISAGREE = _spec("SP1407", 1105, "HY000", Fault.BACKEND, "the shards gave results of different shapes")
NO_PRIMARY = _spec("SP1408", 1429, "HY000", Fault.BACKEND, "the shard has no primary that takes statements now")
SPLIT_BRAIN = _spec("SP1409", 1290, "HY000", Fault.OPERATOR, "more than one server of the shard takes writes; make all but one read-only")
PROMOTION_FAILED = _spec("SP1410", 1105, "HY000", Fault.OPERATOR, "the primary could not be changed")
MOVING = _spec("SP1412", 1205, "HY000", Fault.BACKEND, "the rows are being moved to another shard; try again")
UNKNOWN_SERVER = _spec("SP1411", 1105, "HY000", Fault.OPERATOR, "the shard has no such server")

# Transactions
TXN_SECOND_SHARD = _spec("SP1501", 1235, "42000", Fault.REFUSED, "a transaction may write on one shard only")
COMMIT_PARTIAL = _spec("SP1502", 1105, "HY000", Fault.BACKEND, "the commit reached some shards only")
COMMIT_UNKNOWN = _spec("SP1503", 2013, "HY000", Fault.BACKEND, "the answer to a commit was lost; whether it took effect is unknown")
TXN_LOST = _spec("SP1504", 1213, "40001", Fault.BACKEND, "the transaction was rolled back because its server went away")
SESSION_STATE_LOST = _spec("SP1505", 2013, "HY000", Fault.BACKEND, "the connection that held this session's state was lost")
TXN_ON_REPLICA = _spec("SP1506", 1792, "25006", Fault.REFUSED, "a READ ONLY transaction on a replica cannot do this")

INTERNAL = _spec("SP1901", 1105, "HY000", Fault.INTERNAL, "internal error")


class ShardproxyError(Exception):
    """Root of every error that shardproxy raises."""


class ProxyError(ShardproxyError):
    """An error of the catalogue, as a client will see it: `SP1203: <detail>`.

    `fatal` closes the client's connection after the error was sent. `plain` keeps the id out of the text, for messages
    that applications parse as the server's own.
    """

    def __init__(self, spec: ErrorSpec, detail: str = "", *, fatal: bool = False, plain: bool = False) -> None:
        self.spec = spec
        self.detail = detail or spec.summary
        self.fatal = fatal
        self.plain = plain
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The text that the client gets."""
        return self.detail if self.plain else f"{self.spec.id}: {self.detail}"

    @property
    def errno(self) -> int:
        """The MySQL error number."""
        return self.spec.errno

    @property
    def sqlstate(self) -> str:
        """The five-character SQLSTATE."""
        return self.spec.sqlstate


class ServerError(ShardproxyError):
    """An ERR packet that a shard's server sent, to be given to the client as it is: `raw` where the message is not in UTF-8."""

    def __init__(self, errno: int, sqlstate: str, message: str, shard: str = "", raw: bytes = b"") -> None:
        self.errno = errno
        self.sqlstate = sqlstate
        self.message = message
        self.shard = shard
        self.raw = raw
        super().__init__(f"{errno} ({sqlstate}): {message}")


class ConfigError(ShardproxyError):
    """The configuration has faults; `faults` names every one of them."""

    def __init__(self, path: str, faults: list[str]) -> None:
        self.path = path
        self.faults = faults
        super().__init__(f"{path}: " + "; ".join(faults))


def internal_error() -> ProxyError:
    """What a client is told of a fault of the proxy itself, which is in the log."""
    return ProxyError(INTERNAL, "internal error; the proxy's log has more", fatal=True)
