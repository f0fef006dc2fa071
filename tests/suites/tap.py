"""A relay in front of the proxy that listens in: which statements the proxy refused, for tests that do not say it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import threading
from collections.abc import Callable

from tests.support.ports import free_port

_KEPT = 600
_QUERY, _INIT_DB, _PREPARE = 3, 2, 22
_OWN = re.compile(r"SP\d{4}")


class _Packets:
    """Cuts one direction of a connection into packets, and keeps the beginning of each."""

    def __init__(self, found: Callable[[int, bytes], None]) -> None:
        self._found = found
        self._header = bytearray()
        self._payload = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        at = 0
        while at < len(data):
            if self._left == 0:
                taken = data[at : at + 4 - len(self._header)]
                self._header += taken
                at += len(taken)
                if len(self._header) == 4:
                    self._left = int.from_bytes(self._header[:3], "little")
                    if self._left == 0:
                        self._end()
                continue
            taken = data[at : at + self._left]
            at += len(taken)
            self._left -= len(taken)
            self._payload += taken[: _KEPT - len(self._payload)]
            if self._left == 0:
                self._end()

    def _end(self) -> None:
        self._found(self._header[3], bytes(self._payload))
        self._header.clear()
        self._payload.clear()


class Tap:
    """One port that leads to another. Encrypted and compressed connections pass, unread."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._refusals: list[str] = []
        self._errors: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        """Listen, in a thread."""
        # Two files per connection, and some tests open as many as the server takes.
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        self._thread.start()
        self._ready.wait(10)

    def stop(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def heard(self) -> str:
        """What was refused since the last call; if nothing was, the last error of any kind."""
        refusals, errors = list(dict.fromkeys(self._refusals)), self._errors[-1:]
        self._refusals, self._errors = [], []
        return "\n".join(refusals[:6] or errors)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._relay, "127.0.0.1", self.port, backlog=1000))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            to_client.close()
            return
        said = ["(login)"]

        def command(sequence: int, payload: bytes) -> None:
            if sequence == 0 and payload:
                said[0] = f"({payload[0]})"
                if payload[0] in (_QUERY, _INIT_DB, _PREPARE):
                    said[0] += " " + payload[1:].decode(errors="replace")

        def answer(_: int, payload: bytes) -> None:
            if payload[:1] == b"\xff" and len(payload) > 3:
                error = payload[3:].decode(errors="replace")
                self._errors.append(f"{error} <- {said[0]}")
                if _OWN.search(error):
                    self._refusals.append(f"{error} <- {said[0]}")

        await asyncio.gather(_pump(client, to_server, _Packets(command)), _pump(server, to_client, _Packets(answer)))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, packets: _Packets) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await source.read(1 << 16):
            packets.feed(data)
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError, RuntimeError):
        sink.close()
