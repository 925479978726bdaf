"""A business's own system behind its tools: a small HTTPS server, strict about what it is sent."""

import asyncio
import ssl
from dataclasses import dataclass

from aiohttp import web

SECRET = "Bearer a secret of the shop"


@dataclass
class Asked:
    """A request that was as it should be."""

    path: str
    key: str  # Idempotency-Key
    body: dict


class OwnSystem:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        self.left: list[str] = []  # paths whose asker went away before the answer
        self.release: asyncio.Event  # lets /held answer
        self.port = 0
        self._runner: web.AppRunner

    async def start(self, tls: ssl.SSLContext) -> None:
        self.release = asyncio.Event()
        app = web.Application(middlewares=[self._check])
        for path in ("orders", "text", "fail", "held", "huge", "elsewhere"):
            app.router.add_post(f"/{path}", getattr(self, f"_{path}"))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    def tool(self, name: str, path: str, **more: object) -> dict:
        """An entry of the field `tools`."""
        return {
            "name": name,
            "description": f"Asks the shop for {path}.",
            "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
            "url": f"https://localhost:{self.port}/{path}",
            "headers": {"Authorization": SECRET},
            **more,
        }

    def bodies(self, path: str) -> list[dict]:
        return [one.body for one in self.asked if one.path == path]

    @web.middleware
    async def _check(self, request: web.Request, handler) -> web.StreamResponse:
        body = await request.json()
        key = request.headers.get("Idempotency-Key", "")
        rules = {
            "content type": request.content_type == "application/json",
            "secret": request.headers.get("Authorization") == SECRET,
            "key": key and key not in [one.key for one in self.asked],
            "host": request.host == f"localhost:{self.port}",
            "body": set(body) == {"call_sid", "tool", "arguments"},
            "arguments": isinstance(body.get("arguments"), dict),
        }
        broken = [name for name, kept in rules.items() if not kept]
        if broken:
            self.violations.append(f"{request.path}: {', '.join(broken)}")
            return web.Response(status=400)
        self.asked.append(Asked(request.path, key, body))
        return await handler(request)

    async def _orders(self, request: web.Request) -> web.Response:
        return web.json_response({"state": "sent", "on": "Monday"})

    async def _text(self, request: web.Request) -> web.Response:
        return web.Response(text="It is on its way.")

    async def _fail(self, request: web.Request) -> web.Response:
        return web.Response(status=500, text="stack trace of the shop")

    async def _held(self, request: web.Request) -> web.Response:
        while not self.release.is_set():
            if request.transport is None:  # aiohttp tells it in no other way in all its versions
                self.left.append(request.path)
                break
            await asyncio.sleep(0.01)
        return web.json_response({"late": True})

    async def _huge(self, request: web.Request) -> web.Response:
        return web.Response(text="ä" * 1_000_000)

    async def _elsewhere(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/orders")
