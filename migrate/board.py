"""The store as a mover uses it: every change of the topology is a compare-and-set that fails once another mover acts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from migrate.errors import MoveBlocked, Replaced
from shardproxy.store.records import StoredTopology
from shardproxy.store.store import Store, StoreUnavailable
from shardproxy.topology.moves import Move

LEASE: Final = "mover"
LEASE_S: Final = 6.0
# Where a mover says that it acts, for operators to see.
REPORT: Final = "report/mover"
_RENEW_S: Final = 1.5
_AGAIN_S: Final = 0.1
_POLL_S: Final = 0.005

Change = Callable[[StoredTopology], StoredTopology | None]


class Board:
    """One mover's view of the store. `token` is the mover's; `lost` is set when another one has taken its place."""

    def __init__(self, store: Store, holder: str) -> None:
        self.store = store
        self.holder = holder
        self.token = 0
        self.lost = asyncio.Event()
        self.knobs: dict[str, float] = {}
        self.wanted: dict[int, str] = {}
        # What statements take in the slowest proxy, in milliseconds (99 %).
        self.p99_ms = 0.0
        # One share changes its owner at a time.
        self.cutover = asyncio.Lock()
        self._lock = asyncio.Lock()
        self._renewer: asyncio.Task[None] | None = None

    async def take(self) -> bool:
        """Become the mover that acts; False while another one does."""
        if not await asyncio.to_thread(self.store.take_lease, LEASE, self.holder, LEASE_S):
            return False

        def claim(stored: StoredTopology) -> StoredTopology:
            self.token = stored.mover + 1
            return replace(stored, mover=self.token, hold=None)

        # From here on every compare-and-set of an older mover fails, as the epoch has gone on, and it finds a newer token.
        await self._change(claim, check=False)
        await self.save_progress(REPORT, {"holder": self.holder, "at": time.time()})
        self._renewer = asyncio.get_running_loop().create_task(self._renew())
        return True

    async def leave(self) -> None:
        """Let another mover act."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)
        if self.token and not self.lost.is_set():
            await self.save_progress(REPORT, {})
            await asyncio.to_thread(self.store.drop_lease, LEASE, self.holder)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                if not await asyncio.to_thread(self.store.take_lease, LEASE, self.holder, LEASE_S):
                    self.lost.set()
                    return
                await self.save_progress(REPORT, {"holder": self.holder, "at": time.time()})
                stored = await self.load()
                reports = await self.reports()
                self.p99_ms = max((report.get("p99_ms", 0.0) for report in reports), default=0.0)
            except StoreUnavailable:
                continue
            if stored.mover != self.token:
                self.lost.set()
                return

    async def load(self) -> StoredTopology:
        """The newest document; operators' wishes are taken note of."""
        stored = await asyncio.to_thread(self.store.load)
        if stored is None:
            raise StoreUnavailable(self.store.label, "it is empty: start a proxy first")
        self.knobs.clear()
        self.knobs.update(stored.knobs)
        self.wanted = {move.id: move.wanted for move in stored.moves}
        return stored

    async def change(self, change: Change) -> StoredTopology:
        """Change the document; `change` gives the new one (its epoch is set here), or None where nothing has to be.

        Tried again while others change it too, and while the store is away. Raises `Replaced`.
        """
        return await self._change(change, check=True)

    async def _change(self, change: Change, *, check: bool) -> StoredTopology:
        written: StoredTopology | None = None
        async with self._lock:
            while True:
                try:
                    stored = await self.load()
                    if written is not None and stored == written:
                        # It had been carried out, and only the answer was lost.
                        return stored
                    if check and stored.mover != self.token:
                        self.lost.set()
                        raise Replaced(f"mover {stored.mover} acts")
                    changed = change(stored)
                    if changed is None:
                        return stored
                    written = changed = replace(changed, epoch=stored.epoch + 1)
                    if await asyncio.to_thread(self.store.compare_and_set, stored.epoch, changed):
                        return changed
                except StoreUnavailable:
                    if not check:
                        raise
                    # What was written may have arrived; the next look says so.
                await asyncio.sleep(_AGAIN_S)

    async def decide(self, expected_epoch: int, changed: StoredTopology) -> bool | None:
        """The one compare-and-set that switches owners. None: it is not known whether it was carried out."""
        async with self._lock:
            try:
                return await asyncio.to_thread(self.store.compare_and_set, expected_epoch, replace(changed, epoch=expected_epoch + 1))
            except StoreUnavailable:
                return None

    async def set_move(self, move: Move) -> StoredTopology:
        """Write a move, keeping what operators wish of it meanwhile."""

        def change(stored: StoredTopology) -> StoredTopology:
            known = stored.move(move.id)
            return stored.with_move(replace(move, wanted=known.wanted if known is not None else move.wanted))

        return await self.change(change)

    async def await_proxies(self, epoch: int, seconds: float) -> None:
        """Until every live proxy has carried out an epoch; raises `MoveBlocked` naming those that have not."""
        until = time.monotonic() + seconds
        while True:
            acks = await asyncio.to_thread(self.store.acknowledgements)
            late = [ack.proxy for ack in acks if ack.alive and ack.epoch < epoch]
            if not late:
                return
            if time.monotonic() >= until:
                raise MoveBlocked(f"statements or transactions that began before are still under way in {', '.join(late)}")
            await asyncio.sleep(_POLL_S)

    async def save_progress(self, move: int | str, progress: dict[str, Any]) -> None:
        """Keep a move's progress, if the store can be reached."""
        try:
            await asyncio.to_thread(self.store.save_progress, move, progress)
        except StoreUnavailable:
            return

    async def progress(self, move: int | str) -> dict[str, Any]:
        """What was kept."""
        return await asyncio.to_thread(self.store.progress, move)

    async def reports(self) -> list[dict[str, Any]]:
        """What the live proxies tell of their load."""
        acks = await asyncio.to_thread(self.store.acknowledgements)
        return [await asyncio.to_thread(self.store.progress, f"report/{ack.proxy}") for ack in acks if ack.alive]

    async def note(self, move: int, event: str) -> None:
        """The journal: what is about to be done."""
        try:
            await asyncio.to_thread(self.store.note, move, event)
        except StoreUnavailable:
            return
