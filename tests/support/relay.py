"""A TCP relay between a client and a server that can misbehave on command, for fault tests."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Self

from tests.support.ports import free_port

_CHUNK_BYTES = 64 * 1024


class Relay:
    """Forwards 127.0.0.1:`port` to a target, from a thread of its own, so that blocking tests can use it too.

    Use it as a context manager. Every method returns when its effect holds.
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.target = (target_host, target_port)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"relay-{self.port}", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many clients are connected through it now."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Reset every connection on both sides, as a crashed middlebox would. New ones are accepted."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Stop listening, so that new connections are refused; those that exist go on. `accept` undoes it."""
        self._run(self._stop_listening())

    def accept(self) -> None:
        """Listen again after `refuse`."""
        self._run(self._listen())

    def stall(self) -> None:
        """Take bytes no further, in either direction, and keep all connections open. `flow` undoes it."""
        self._run(self._set_flowing(False))

    def flow(self) -> None:
        """Forward again after `stall`, beginning with what was held back."""
        self._run(self._set_flowing(True))

    def delay(self, ms: float) -> None:
        """Hold every chunk for `ms` milliseconds, in each direction; 0 ends it."""
        self._run(self._set_delay(ms / 1000))

    # -- in the relay's thread

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            # Not wait_closed: from Python 3.12 on it waits for the open connections as well.
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _set_delay(self, delay_s: float) -> None:
        self._delay_s = delay_s

    async def _shut(self) -> None:
        await self._stop_listening()
        await self._cut()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, back_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._pump_requests(reader, back_writer, writer), self._pump(back_reader, writer))
        except OSError:
            for one in pair:
                one.transport.abort()  # one side broke: the other shall see a break too, not a polite end
        except asyncio.CancelledError:
            pass  # only `_shut` cancels; letting it out makes asyncio log it as an unhandled error
        finally:
            self._writers -= pair
            for one in pair:
                one.close()

    async def _pump_requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        """What the client says; `back` leads to it."""
        await self._pump(source, sink)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.write_eof()
