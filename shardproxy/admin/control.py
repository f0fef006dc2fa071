"""What operators change over the admin port: servers in and out, and who is the primary.

Only callers on this machine may, or those that know the admin token. Requests must be JSON, which no web page of another origin can send
without being asked for permission first.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from shardproxy.errors import ProxyError, ServerError
from shardproxy.server.peers import Peers
from shardproxy.server.roles import Roles

_ACTIONS = ("drain", "maintenance", "up", "fence")


class Control:
    """The handlers. `token` is the admin token, or ""; `peers` are the other processes on the port."""

    def __init__(self, roles: Roles, token: str, peers: Peers | None = None) -> None:
        self._peers = peers
        self._roles = roles
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """What is served under /api."""
        return [web.post("/api/server", self._guarded(self._server)), web.post("/api/promote", self._guarded(self._promote))]

    def _guarded(
        self, handler: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if request.content_type != "application/json":
                return _refused(415, "the request must be application/json")
            if not self._may(request):
                return _refused(403, "only from this machine, or with the admin token")
            try:
                asked = await request.json()
            except json.JSONDecodeError:
                return _refused(400, "the request is not JSON")
            if not isinstance(asked, dict) or not all(isinstance(asked.get(key), str) for key in ("shard", "server")):
                return _refused(400, "'shard' and 'server' are needed")
            try:
                return web.json_response(await handler(asked))
            except (ProxyError, ServerError) as error:
                return _refused(409, error.message)

        return guarded

    async def _server(self, asked: dict[str, Any]) -> dict[str, Any]:
        action = asked.get("action")
        if action not in _ACTIONS:
            text = json.dumps({"error": f"'action' is one of {', '.join(_ACTIONS)}"})
            raise web.HTTPBadRequest(text=text, content_type="application/json")
        if action == "fence":
            await self._roles.fence(asked["shard"], asked["server"])
        else:
            self._roles.operate(asked["shard"], asked["server"], action)
            if self._peers is not None:
                await self._peers.tell_all({"do": "operate", "shard": asked["shard"], "server": asked["server"], "action": action})
        return {"done": [f"{asked['server']}: {action}"], "left": []}

    async def _promote(self, asked: dict[str, Any]) -> dict[str, Any]:
        report = await self._roles.promote(asked["shard"], asked["server"], force=asked.get("force") is True)
        return {"done": report.done, "left": report.left}

    def _may(self, request: web.Request) -> bool:
        if self._token:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return hmac.compare_digest(given.encode(), self._token.encode())
        try:
            return ipaddress.ip_address(request.remote or "").is_loopback
        except ValueError:
            return False


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
