"""A mover or a proxy with a bug that was put in on purpose: `python -m tests.moves.sabotage BUG arguments`, as for the program itself.

Some only make a program slow or stop it at a certain moment, which must do no harm; the bugs come on top of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from shardproxy.store.sqlite_store import SQLiteStore

BUGS: dict[str, tuple[str, Callable[[], None]]] = {}
# How long a window stays open in which something can go wrong.
WINDOW_S = 0.8


def _bug(program: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(plant: Callable[[], None]) -> Callable[[], None]:
        BUGS[plant.__name__] = (program, plant)
        return plant

    return register


def _say(text: str) -> None:
    sys.stderr.write(f"sabotage: {text}\n")
    sys.stderr.flush()


@_bug("shardctl")
def position_read_early() -> None:
    """The end of the source's log is looked for before the source is closed, and the tail stops there."""
    from migrate import mover
    from migrate.node import Node
    from migrate.tail import Tail

    cut_over, set_fence, applied = mover.cut_over, Node.set_fence, Tail.applied_up_to_now
    tails: list[Tail] = []

    async def remembering(job: Any, tail: Tail) -> None:
        tails.append(tail)
        await cut_over(job, tail)

    async def reading_first(self: Node, move: int, state: str, epoch: int, **options: Any) -> None:
        if state == "closed":
            tail = tails[-1]
            await applied(tail, 2.0)
            for task in tail._tasks:
                task.cancel()
            _say("the position has been read")
            await asyncio.sleep(WINDOW_S)
        await set_fence(self, move, state, epoch, **options)

    async def there_already(self: Tail, seconds: float) -> None:
        if not tails:
            await applied(self, seconds)

    mover.cut_over, Node.set_fence, Tail.applied_up_to_now = remembering, reading_first, there_already


@_bug("shardproxy")
def no_ownership_filter() -> None:
    """Statements over several shards meet the rows that a move has copied."""
    from shardproxy.server import follower
    from shardproxy.store import reconcile

    served = reconcile.served

    def unfiltered(stored: Any, file: Any) -> Any:
        return replace(served(stored, file), strays={})

    reconcile.served = follower.served = unfiltered


@_bug("shardctl")
def stopped_before_writing() -> None:
    """No bug: a mover that stops itself when it has read changed rows of `registers`, and has not written them."""
    from migrate import tail

    read_keys = tail.read_keys
    stopped: list[bool] = []

    async def stopping(connection: Any, table: Any, keys: Any, **options: Any) -> Any:
        rows = await read_keys(connection, table, keys, **options)
        if table.name == "registers" and rows and not stopped:
            stopped.append(True)
            _say("stopped")
            with ExitStack() as idle:
                # Not in the middle of a write to the store: it would be locked for everybody.
                for store in [found for found in gc.get_objects() if isinstance(found, SQLiteStore)]:
                    idle.enter_context(store._lock)
                os.kill(os.getpid(), signal.SIGSTOP)
        return rows

    tail.read_keys = stopping


@_bug("shardctl")
def no_token() -> None:
    """The same, and it does not look whether another mover acts."""
    from migrate.board import Board
    from migrate.job import Job
    from migrate.node import Node

    stopped_before_writing()

    connect = Node.connect

    async def patient(self: Node, *, idle_s: int = 600) -> Any:
        return await connect(self, idle_s=600)

    async def begin(self: Job, connection: Any, node: Any) -> None:
        await connection.query(b"START TRANSACTION")

    async def claim(self: Node, move: int, group: str, side: str, state: str) -> str:
        return state

    real_claim = Node.claim

    async def claim_once(self: Node, move: int, group: str, side: str, state: str) -> str:
        try:
            return await real_claim(self, move, group, side, state)
        except Exception:  # noqa: BLE001 - this is the bug
            return await claim(self, move, group, side, state)

    async def renew(self: Board) -> None:
        while True:
            await asyncio.sleep(1)
            await asyncio.to_thread(self.store.take_lease, "mover", self.holder, 6.0)

    Job.begin, Node.claim, Node.connect, Board._renew = begin, claim_once, patient, renew


@_bug("shardproxy")
def slow_to_follow() -> None:
    """No bug: a proxy that hears of a new topology with some delay."""
    import time

    from shardproxy.store.sqlite_store import SQLiteStore

    wait_beyond = SQLiteStore.wait_beyond

    def late(self: SQLiteStore, epoch: int, timeout_s: float) -> bool:
        if not wait_beyond(self, epoch, timeout_s):
            return False
        time.sleep(0.4)
        return True

    SQLiteStore.wait_beyond = late


@_bug("shardctl")
def opened_before_holds() -> None:
    """The share changes its owner though proxies have not said that they hold."""
    from migrate import mover
    from migrate.board import Board

    cut_over, await_proxies = mover.cut_over, Board.await_proxies

    async def at_once(job: Any, tail: Any) -> None:
        async def nobody(self: Board, epoch: int, seconds: float) -> None:
            return

        Board.await_proxies = nobody
        try:
            await cut_over(job, tail)
        finally:
            Board.await_proxies = await_proxies

    mover.cut_over = at_once


@_bug("shardctl")
def replacing() -> None:
    """Rows are written by REPLACE, which takes away whatever is in their way."""
    from migrate import copying, tail

    async def insert_rows(connection: Any, table: Any, rows: Sequence[bytes]) -> None:
        for row in rows:
            await connection.query(f"REPLACE INTO {table.sql} ({table.column_list}) VALUES ".encode() + row)

    copying.insert_rows = tail.insert_rows = insert_rows


@_bug("shardctl")
def no_wait_for_prepared() -> None:
    """Transactions that were prepared are not waited for in the cutover."""
    from migrate import cutover

    async def nothing(job: Any, began: float) -> None:
        return

    cutover._drain_prepared = nothing


@_bug("shardctl")
def no_guards() -> None:
    """Nothing on the source refuses writers that came past the proxies."""
    from migrate.node import Node

    async def nothing(self: Node, *_: Any, **__: Any) -> None:
        return

    Node.make_guards = nothing


def main() -> int:
    """Plant the bug, and run the program."""
    name, *arguments = sys.argv[1:]
    program, plant = BUGS[name]
    plant()
    if program == "shardctl":
        from shardproxy.cli import ctl

        return ctl.main(arguments)
    from shardproxy.cli import main as proxy

    return proxy.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
