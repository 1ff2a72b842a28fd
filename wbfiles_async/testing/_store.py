"""The object store: signed GET, HEAD and PUT, with responses like those of S3. Does not know GraphQL."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from contextlib import suppress
from email.utils import formatdate

import aiofiles
from aiohttp import hdrs, web

from wbfiles_async._models import RunPath
from wbfiles_async.testing._answers import store_error
from wbfiles_async.testing._conditions import UnsatisfiableRangeError, names_etag, select_range
from wbfiles_async.testing._names import UnusableNameError
from wbfiles_async.testing._signatures import SignatureError
from wbfiles_async.testing._site import Site, media_type, store_path

_SMALL = 1 << 18
"""Maximum bytes of a body that is read and sent in one piece; sendfile would gain nothing."""

_DEFAULT_TYPE = "binary/octet-stream"


class Store:
    """Responds to requests at the store's origin."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        path = "/store/{entity}/{project}/{run}/{name:.+}"
        app.add_routes([web.get(path, self._get), web.put(path, self._put)])
        return app

    async def _get(self, request: web.Request) -> web.StreamResponse:
        # A URL signed for GET also allows HEAD, as with a CDN in front of the bucket.
        run, name = _address(request)
        if refused := self._refuse(request, "GET", run, name):
            return refused
        stored = self._site.tree.find(run, name)
        try:
            file = stored.path.open("rb", buffering=0) if stored else None
        except OSError:
            file = None
        if file is None:
            return store_error(404, "NoSuchKey", "The specified key does not exist.")
        with file:
            return await _send(request, file, name)

    async def _put(self, request: web.Request) -> web.StreamResponse:
        run, name = _address(request)
        if refused := self._refuse(request, "PUT", run, name):
            return refused
        temporary = await asyncio.to_thread(self._site.tree.temporary)
        try:
            async with aiofiles.open(temporary, "xb") as file:
                async for chunk in request.content.iter_any():
                    await file.write(chunk)
                await file.flush()
                etag = _etag(os.fstat(file.fileno()))
            await asyncio.to_thread(self._site.tree.publish_upload, temporary, run, name)
        except UnusableNameError as error:
            return store_error(400, "InvalidArgument", str(error))
        except (NotADirectoryError, IsADirectoryError, FileExistsError):
            return store_error(409, "Conflict", "A file and a folder cannot have the same name.")
        except (ConnectionError, web.RequestPayloadError):
            return store_error(400, "IncompleteBody", "The body ended before its end.")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return store_error(400, "KeyTooLongError", "Your key is too long")
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        return web.Response(headers={hdrs.ETAG: etag})

    def _refuse(self, request: web.Request, method: str, run: RunPath, name: str) -> web.Response | None:
        if hdrs.AUTHORIZATION in request.headers:
            return store_error(
                400, "InvalidArgument", "Only one auth mechanism allowed; the address is signed already."
            )
        try:
            self._site.signatures.check(method, store_path(run, name), request.query)
        except SignatureError as error:
            return store_error(403, error.code, str(error))
        return None


async def _send(request: web.Request, file: io.FileIO, name: str) -> web.StreamResponse:
    status = os.fstat(file.fileno())
    etag, size = _etag(status), status.st_size
    headers = {
        hdrs.ETAG: etag,
        hdrs.LAST_MODIFIED: formatdate(status.st_mtime, usegmt=True),
        hdrs.ACCEPT_RANGES: "bytes",
    }
    if_match = request.headers.get(hdrs.IF_MATCH)
    if if_match is not None and not names_etag(if_match, etag, weak=False):
        return store_error(412, "PreconditionFailed", "At least one of the preconditions you specified did not hold.")
    if_none_match = request.headers.get(hdrs.IF_NONE_MATCH)
    if if_none_match is not None and names_etag(if_none_match, etag, weak=True):
        return web.Response(status=304, headers=headers)
    try:
        selected = select_range(_range_header(request, etag), size)
    except UnsatisfiableRangeError:
        return store_error(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            headers={hdrs.CONTENT_RANGE: f"bytes */{size}"},
        )
    start, stop = selected or (0, size)
    if selected:
        headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{size}"
    headers[hdrs.CONTENT_TYPE] = media_type(name) or _DEFAULT_TYPE
    code = 206 if selected else 200
    if request.method != hdrs.METH_HEAD and stop - start <= _SMALL:
        file.seek(start)
        return web.Response(status=code, headers=headers, body=file.read(stop - start))
    response = web.StreamResponse(status=code, headers=headers)
    response.content_length = stop - start
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        await _send_file(request, file, start, stop)
    await response.write_eof()
    return response


async def _send_file(request: web.Request, file: io.FileIO, start: int, stop: int) -> None:
    transport = request.transport
    if transport is None:
        return
    with suppress(ConnectionError):
        sent = await asyncio.get_running_loop().sendfile(transport, file, start, stop - start)
        if sent < stop - start:
            # The file was truncated meanwhile; only closing the connection can still show that to the client.
            transport.close()


def _range_header(request: web.Request, etag: str) -> str | None:
    if_range = request.headers.get(hdrs.IF_RANGE)
    return request.headers.get(hdrs.RANGE) if if_range in (None, etag) else None


def _address(request: web.Request) -> tuple[RunPath, str]:
    entity, project, run_id, name = (request.match_info[part] for part in ("entity", "project", "run", "name"))
    return RunPath(entity, project, run_id), name


def _etag(status: os.stat_result) -> str:
    return f'"{status.st_mtime_ns:x}-{status.st_ino:x}-{status.st_size:x}"'
