"""A server that is honest until it is asked for something special: then it answers with whatever a test has prepared."""

import asyncio
from collections.abc import Callable, Iterable

from tests.support.relay import Relay

# None waits for the next word of the other side, which goes nowhere.
Lie = Iterable[bytes | None] | Callable[[], Iterable[bytes | None]]


class Liar(Relay):
    """Forwards to a real server, but for requests that hold one of `lies`: these never arrive, and are answered with the pieces
    of that lie, one after the other as fast as they are read. Then it is honest again; `followed` keeps the beginning of what comes
    then."""

    def __init__(self, target_port: int, lies: dict[bytes, Lie]) -> None:
        super().__init__(target_port)
        self.lies = lies
        self.followed = b""

    async def _pump_requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        lied = False
        while data := await source.read(1 << 16):
            lie = next((lie for mark, lie in self.lies.items() if mark in data), None)
            if lie is None:
                if lied:
                    self.followed = (self.followed + data)[:4096]
                sink.write(data)
                await sink.drain()
                continue
            lied = True
            for piece in lie() if callable(lie) else lie:
                if piece is None:
                    await source.read(1 << 16)
                    continue
                back.write(piece)
                await back.drain()
                # Others want to be served meanwhile, and the end of this connection to be seen.
                await asyncio.sleep(0)
