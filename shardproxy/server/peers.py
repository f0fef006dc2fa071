"""The processes that share a port: what one is asked for and another has to do. They talk over Unix sockets in a directory of their own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from shardproxy.errors import UNKNOWN_THREAD, ProxyError

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], Awaitable[None]]
_ANSWER_S: Final = 5.0
_MESSAGE_BYTES: Final = 64 * 1024


class Peers:
    """This process, number `number` of `count`, and the others. `handlers` are what others may ask of it, by name."""

    def __init__(self, directory: Path, number: int, count: int) -> None:
        self.number = number
        self.count = count
        self.handlers: dict[str, Handler] = {}
        self._directory = directory
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen to the others."""
        path = self._path(self.number)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=_MESSAGE_BYTES)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._path(self.number).unlink(missing_ok=True)

    async def kill(self, thread_id: int, user: str, *, query: bool) -> None:
        """End a connection of the process whose numbers these are; raises `ProxyError` as that process does."""
        owner = thread_id % self.count
        if owner == self.number:
            raise ProxyError(UNKNOWN_THREAD, f"Unknown thread id: {thread_id}", plain=True)
        error = await self._ask(owner, {"do": "kill", "id": thread_id, "user": user, "query": query})
        if error:
            raise ProxyError(UNKNOWN_THREAD, error, plain=True)

    async def tell_all(self, message: dict[str, Any]) -> None:
        """Ask all others for the same; one that is away is left out."""
        others = [number for number in range(self.count) if number != self.number]
        errors = await asyncio.gather(*(self._ask(number, message) for number in others))
        for number, error in zip(others, errors, strict=True):
            if error:
                log.error("a process of this proxy did not do it", extra={"worker": number, "reason": error})

    def _path(self, number: int) -> Path:
        return self._directory / f"{number}.sock"

    async def _ask(self, number: int, message: dict[str, Any]) -> str:
        """Gives why it was not done, or ""."""
        writer = None
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path(number))
                writer.write(json.dumps(message).encode() + b"\n")
                answer = json.loads(await reader.readline() or b'{"error": "it went away"}')
        except (OSError, TimeoutError, ValueError) as error:
            return str(error) or "it does not answer"
        finally:
            if writer is not None:
                writer.close()
        return str(answer.get("error", ""))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = {}
        try:
            message = json.loads(await reader.readline())
            await self.handlers[message["do"]](message)
        except ProxyError as error:
            answer = {"error": error.message}
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer = {"error": f"not understood: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()
