"""Questions about the schema: answered by the shards, shown under the logical schema's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from shardproxy.errors import MERGE_LIMIT, ProxyError, ServerError
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome, ResultSink
from shardproxy.executor.relay import fetch_warnings
from shardproxy.planner.context import SYSTEM_SCHEMAS
from shardproxy.protocol.flags import INTEGER_TYPES
from shardproxy.protocol.resultset import ColumnDefinition, Row, build_row, parse_row
from shardproxy.topology.topology import Scheme, Topology

_SCHEMA_COLUMNS = frozenset(
    (
        b"table_schema",
        b"schema_name",
        b"index_schema",
        b"constraint_schema",
        b"trigger_schema",
        b"event_schema",
        b"routine_schema",
        b"database",
    )
)

_NAME_COLUMNS = frozenset((b"table_name", b"trigger_name", b"trigger", b"name"))


async def system_read(
    leases: Leases,
    texts: Mapping[str, bytes],
    order: tuple[tuple[int, bool], ...],
    topology: Topology,
    logical: str,
    max_rows: int,
    sink: ResultSink,
    transport: Mapping[bytes, bytes],
) -> Outcome:
    """Ask the shards; of each keep the rows of the tables that it answers for. `transport` is what SHOW STATUS says of the client's
    connection."""
    outcome = Outcome(rows=0)
    columns: list[ColumnDefinition] = []
    rows: list[tuple[bytes | None, ...]] = []
    for shard in texts:
        connection = await leases.take(shard)
        try:
            result = await connection.query(texts[shard])
            part = Outcome(warnings=result.warnings)
            await fetch_warnings(connection, part)
        except ServerError:
            leases.give(connection)
            raise
        except BaseException:
            leases.drop(connection)
            raise
        leases.give(connection)
        if result.ok is not None:
            return Outcome(-1, result.ok.affected_rows, warnings=result.ok.warnings, info=result.ok.info)
        if len(rows) + len(result.rows) > max_rows:
            raise ProxyError(MERGE_LIMIT, f"the answer has more than {max_rows} rows (limits.merge_rows)")
        columns = columns or [_renamed(column, connection.schema, logical) for column in result.columns]
        for payload in result.rows:
            row = parse_row(payload, len(columns))
            if _is_ours(row, result.columns):
                continue
            if len(texts) > 1 and not _answers_for(shard, row, result.columns, topology):
                continue
            shown = _translated(row, result.columns, connection.schema, logical)
            if shown is not None:
                rows.append(_of_client(shown, columns, transport))
        outcome.warnings += part.warnings
        outcome.warning_list += part.warning_list
    if len(texts) > 1:
        for index, descending in reversed(order or ((0, False),)):
            rows.sort(key=partial(_order_key, columns[index], index), reverse=descending)
    sink.send_header(columns)
    sink.send_rows([build_row(row) for row in rows])
    outcome.rows = len(rows)
    outcome.sequence = sink.sequence
    return outcome


def _of_client(row: Row, columns: Sequence[ColumnDefinition], transport: Mapping[bytes, bytes]) -> Row:
    """The row, with the value of the client's own connection where SHOW STATUS tells of the proxy's to the server."""
    if len(row) == 2 and row[0] is not None and columns[0].name == b"Variable_name" and columns[1].name == b"Value":
        return row[0], transport.get(row[0].lower(), row[1])
    return row


def _order_key(column: ColumnDefinition, index: int, row: Row) -> tuple[bool, float, bytes]:
    """Names order without case, as in information_schema's own collation; numbers as numbers; NULL first."""
    value = row[index]
    if value is None:
        return (False, 0, b"")
    return (True, float(value), b"") if column.type in INTEGER_TYPES else (True, 0, value.lower())


def _answers_for(shard: str, row: Row, columns: Sequence[ColumnDefinition], topology: Topology) -> bool:
    """Each table is shown by one shard: an unsharded one by its own, any other by the default shard."""
    at = next((i for i, c in enumerate(columns) if (c.org_name or c.name).lower() == b"table_name"), None)
    if at is None and not columns[0].name.startswith((b"Tables_in_", b"Name")):
        return shard == topology.default_shard
    table = row[at or 0]
    rule = topology.rule((table or b"").decode("utf-8", "replace"))
    return shard == (rule.shard if rule.scheme is Scheme.UNSHARDED else topology.default_shard)


def _is_ours(row: Row, columns: Sequence[ColumnDefinition]) -> bool:
    """Whether it tells of a table or a trigger that is there for moves."""
    for value, column in zip(row, columns, strict=True):
        if value is not None and value.startswith(b"_sp_"):
            name = (column.org_name or column.name).lower()
            if name in _NAME_COLUMNS or name.startswith(b"tables_in_"):
                return True
    return False


def _renamed(column: ColumnDefinition, physical: str, logical: str) -> ColumnDefinition:
    if column.name.startswith(b"Tables_in_" + physical.encode()):
        column = column.renamed(column.name.replace(physical.encode(), logical.encode(), 1))
    return column.in_schema(logical.encode()) if column.schema == physical.encode() else column


def _translated(row: Row, columns: Sequence[ColumnDefinition], physical: str, logical: str) -> Row | None:
    """The row with the logical schema's name, or None where it tells of someone else's schema."""
    old, new = physical.encode(), logical.encode()
    for column, value in zip(columns, row, strict=True):
        name = (column.org_name or column.name).lower()
        if (
            value is not None
            and name in _SCHEMA_COLUMNS
            and value != old
            and value.decode("utf-8", "replace").lower() not in SYSTEM_SCHEMAS
        ):
            return None
    return tuple(new if value == old else value for value in row) if old != new else row
