"""A SELECT on several shards: all are asked at once, and their rows merged as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from shardproxy.backends.engine import Connection, RelayedStream, ResultStream
from shardproxy.config.model import Limits
from shardproxy.errors import ProxyError, ServerError
from shardproxy.executor.leases import Leases
from shardproxy.executor.outcome import Outcome, ResultSink
from shardproxy.executor.relay import fetch_warnings
from shardproxy.merge.keys import check_same_shape
from shardproxy.merge.merger import Merger
from shardproxy.merge.spec import MergeSpec
from shardproxy.planner.context import PlanContext
from shardproxy.planner.plan import Plan
from shardproxy.protocol.resultset import ColumnDefinition

# How long the other shards may take to end their answers once one has failed, each.
_SETTLE_S = 1.0


class ScatterRead:
    """One such SELECT, its literals known."""

    __slots__ = ("_context", "_leases", "_limits", "_literals", "_spec")

    def __init__(self, leases: Leases, spec: MergeSpec, literals: Sequence[bytes], limits: Limits, context: PlanContext) -> None:
        self._leases = leases
        self._spec = spec
        self._literals = literals
        self._limits = limits
        self._context = context

    async def run(self, texts: Mapping[str, bytes], sink: ResultSink, plan: Plan, *, primary: bool = False) -> Outcome:
        """Ask each shard its text; send the merged rows. Raises before or after rows were sent."""
        leases = self._leases
        connections: list[Connection] = []
        try:
            # In a fixed order, so that two statements never wait for each other's connections.
            for shard in sorted(texts):
                connections.append(await leases.take(shard, plan, for_tables=True, primary=primary))  # noqa: PERF401 - what was taken so far must be known if one fails
            streams = [connection.send(texts[connection.shard]) for connection in connections]
        except (ServerError, ProxyError):
            for connection in connections:
                if getattr(connection, "busy", False) or connection.closed:
                    leases.drop(connection)
                else:
                    leases.give(connection)
            raise
        except BaseException:
            for connection in connections:
                leases.drop(connection)
            raise
        return await self.merge(connections, streams, sink)

    async def merge(self, connections: Sequence[Connection], streams: Sequence[ResultStream], sink: ResultSink) -> Outcome:
        """Send the merged rows of answers that are under way, and give the connections back."""
        leases = self._leases
        outcome = Outcome(rows=0, merged=True)
        try:
            for stream in streams:
                await stream.wait_ready()
            merger = self._begin(connections, streams, sink)
            await _merge(merger, streams, sink)
            outcome.rows = merger.found
            for stream, connection in zip(streams, connections, strict=True):
                part = Outcome(warnings=stream.eof.warnings if stream.eof else 0)
                await fetch_warnings(connection, part)
                outcome.warnings += part.warnings
                outcome.warning_list += part.warning_list
        except (ServerError, ProxyError):
            await _settle(leases, connections, streams)
            raise
        except BaseException:
            for connection in connections:
                leases.drop(connection)
            raise
        for connection in connections:
            leases.give(connection)
        outcome.sequence = sink.sequence
        return outcome

    def merge_whole(self, connections: Sequence[Connection], streams: Sequence[RelayedStream], sink: ResultSink) -> Outcome:
        """The same for answers that are all there, and clean: nothing has to be waited for."""
        try:
            merger = self._begin(connections, streams, sink)
            for source, stream in enumerate(streams):
                merger.feed(source, stream.take_rows())
                merger.close(source)
            sink.send_rows(merger.drain())
        finally:
            for connection in connections:
                self._leases.give(connection)
        return Outcome(rows=merger.found, merged=True, sequence=sink.sequence)

    def _begin(self, connections: Sequence[Connection], streams: Sequence[ResultStream], sink: ResultSink) -> Merger:
        columns = streams[0].columns
        for stream in streams[1:]:
            check_same_shape(columns, stream.columns)
        spec, limits, context = self._spec, self._limits, self._context
        collations = context.catalog.collations
        merger = Merger(spec, columns, len(streams), collations, self._literals, limits.merge_rows, limits.merge_bytes)
        sink.send_header(_visible(columns, spec.hidden, {c.schema for c in connections}, context.logical_schema))
        return merger


async def _settle(leases: Leases, connections: Sequence[Connection], streams: Sequence[ResultStream]) -> None:
    """One shard has failed: let the others come to their ends, which is usually at once, so that their connections live on.

    They may carry a transaction or the session's state. One that goes on for long is given up all the same.
    """
    for connection, stream in zip(connections, streams, strict=False):
        try:
            async with asyncio.timeout(_SETTLE_S):
                while getattr(connection, "busy", False) and await stream.next_rows() is not None:
                    pass
        except (ServerError, ProxyError, TimeoutError):
            pass
    for connection in connections:
        if connection.closed:
            leases.members.failed(connection, "the connection was lost during a statement")
        if getattr(connection, "busy", False) or connection.closed:
            leases.drop(connection)
        else:
            leases.give(connection)


async def _merge(merger: Merger, streams: Sequence[ResultStream], sink: ResultSink) -> None:
    open_streams = dict(enumerate(streams))
    while open_streams:
        for source in list(open_streams):
            if not merger.waits_for(source) and not merger.done:
                continue
            rows = await open_streams[source].next_rows()
            if rows is None:
                merger.close(source)
                del open_streams[source]
            elif not merger.done:
                merger.feed(source, rows)
        ready = merger.drain()
        if ready:
            sink.send_rows(ready)
            await sink.drain()


def _visible(columns: Sequence[ColumnDefinition], hidden: int, physical: set[str], logical: str) -> list[ColumnDefinition]:
    """The columns that the client asked for, with the schema's name that it knows."""
    shown = columns[: len(columns) - hidden] if hidden else columns
    return [column.in_schema(logical.encode()) if column.schema.decode("latin-1") in physical else column for column in shown]
