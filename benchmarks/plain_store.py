"""Replaces nginx if it is not installed: good enough for smoke tests, too slow for comparisons.

python -m benchmarks.plain_store DATA FOLDER CERTIFICATE DOOR=SOCKET ...
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import sys
from pathlib import Path

from aiohttp import web

from benchmarks.data import name_of


async def _main(data: Path, folder: Path, certificate: Path, *doors: str) -> None:
    async def serve(request: web.Request) -> web.FileResponse:
        place = re.fullmatch(r"(?:after/([0-9.]+)/)?(same/)?([^/]+)/([^/]+)", request.match_info["place"])
        if place is None:
            raise web.HTTPNotFound
        seconds, same, content, name = place.groups()
        if seconds:
            await asyncio.sleep(float(seconds))
        return web.FileResponse(data / content / (name_of(0) if same else name))

    async def keep(request: web.Request) -> web.Response:
        path = folder / "put" / request.match_info["place"]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            async for piece in request.content.iter_any():
                file.write(piece)
        return web.Response(status=201)

    app = web.Application()
    app.router.add_put("/put/{place:.*}", keep)
    app.router.add_get("/{place:.*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    for door, _, number in (given.partition("=") for given in doors):
        tls = context if door == "https" else None
        await web.SockSite(runner, socket.socket(fileno=int(number)), ssl_context=tls).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]))
