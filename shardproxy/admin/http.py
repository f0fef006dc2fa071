"""The admin port: questions that anybody may ask, and changes (`control`) that not everybody may make."""

from __future__ import annotations

import json

from aiohttp import web

from shardproxy.admin.control import Control
from shardproxy.admin.metrics import render_metrics
from shardproxy.admin.status import status
from shardproxy.config.model import Address
from shardproxy.server.listener import Listener
from shardproxy.session.router import Router


class AdminServer:
    """HTTP for health checks, Prometheus and `shardctl`."""

    def __init__(self, router: Router, listener: Listener, control: Control) -> None:
        self.router = router
        self._control = control
        self.port = 0
        self._listener = listener
        self._runner: web.AppRunner | None = None

    async def start(self, number: int = 0) -> None:
        """Open the port; of several processes the one of this number has the port that is so much higher."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._metrics),
                web.get("/api/status", self._status),
                *self._control.routes(),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        address = Address.parse(self.router.loaded.config.proxy.admin)
        site = web.TCPSite(self._runner, address.host, address.port + (number if address.port else 0))
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        """The process is alive."""
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        """Every shard's schema is known and the proxy is not shutting down."""
        router = self.router
        if router.ready:
            # Still ready: the last topology is served. Whoever watches should know all the same.
            return web.Response(text="ready\n" + (f"{router.store_fault}\n" if router.store_fault else ""))
        reason = "draining" if router.draining else "schema not read yet: " + ", ".join(router.catalog.unread_shards)
        return web.Response(text=reason + "\n", status=503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=render_metrics(self.router), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _status(self, request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(status(self.router)), content_type="application/json")
