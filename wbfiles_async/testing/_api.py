"""The API over HTTP: GraphQL, the ``/files`` URLs, which redirect, token exchange, and the file stream."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence

import attrs
from aiohttp import hdrs, web

from wbfiles_async._models import RunPath
from wbfiles_async.testing._access import Access
from wbfiles_async.testing._answers import api_error
from wbfiles_async.testing._nodes import Request
from wbfiles_async.testing._records import RunRecord, RunState, timestamp
from wbfiles_async.testing._schema import Answer, execute
from wbfiles_async.testing._site import Site, store_path

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_LARGEST_JSON = 1 << 28
"""Maximum bytes of a body, which may contain a run's whole configuration. Uploads to the store have no limit."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GraphQLResponse(web.Response):
    """A response of GraphQL, with the name of the executed operation."""

    def __init__(self, answer: Answer) -> None:
        status = 200 if answer.is_valid else 400
        super().__init__(status=status, body=answer.body, content_type="application/json")
        self.operation = answer.operation


class Api:
    """Responds to requests for the paths of W&B's API."""

    def __init__(self, site: Site, access: Access, store_port: int) -> None:
        self._site = site
        self._access = access
        self._store_port = store_port

    def app(self) -> web.Application:
        """Return the web application; its shutdown aborts md5 computations."""
        app = web.Application(client_max_size=_LARGEST_JSON)
        file = "/files/{entity}/{project}/{run}"
        app.add_routes(
            [
                web.post("/graphql", self._authenticated(self._graphql)),
                web.get(f"{file}/{{name:.+}}", self._authenticated(self._redirect)),
                web.post(f"{file}/file_stream", self._authenticated(self._file_stream)),
                web.post("/oidc/token", self._exchange),
            ]
        )
        app.on_shutdown.append(self._stop_digests)
        return app

    async def _stop_digests(self, _: web.Application) -> None:
        self._site.digests.close()

    def _authenticated(self, handler: _Handler) -> _Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if not self._access.accepts(request.headers.get(hdrs.AUTHORIZATION)):
                return api_error(401, "user is not logged in", "PERMISSION_ERROR")
            return await handler(request)

        return checked

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        body = await _json_object(request)
        query, variables = body.get("query"), body.get("variables") or {}
        operation = body.get("operationName")
        if not isinstance(query, str) or not isinstance(variables, dict):
            return api_error(400, "expected a JSON object with a query and its variables")
        answer = await asyncio.to_thread(
            execute,
            Request(self._site, str(request.url.origin()), self._store_url(request)),
            query,
            variables,
            # wandb's service process sends "" if there is none.
            operation if isinstance(operation, str) and operation else None,
        )
        return GraphQLResponse(answer)

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        run, name = _run(request), request.match_info["name"]
        if self._site.tree.find(run, name) is None:
            return api_error(404, f"file {name} not found in run {run}")
        signed = self._site.signatures.sign("GET", store_path(run, name))
        return web.Response(status=302, headers={hdrs.LOCATION: self._store_url(request) + signed})

    def _store_url(self, request: web.Request) -> str:
        return str(request.url.origin().with_port(self._store_port))

    async def _file_stream(self, request: web.Request) -> web.StreamResponse:
        run = _run(request)
        if not self._site.tree.has_run(run):
            return api_error(404, f"run {run} not found")
        sent = await _json_object(request)
        state: RunState = "running"
        if sent.get("complete"):
            state = "failed" if sent.get("exitcode") else "finished"
        uploaded = sent.get("uploaded")
        names = [name for name in uploaded if isinstance(name, str)] if isinstance(uploaded, list) else []
        await asyncio.to_thread(self._update_run, run, state, names)
        return web.json_response({})

    def _update_run(self, run: RunPath, state: RunState, uploaded: Sequence[str]) -> None:
        for name in uploaded:
            self._site.tree.mark(run, name)
        now = timestamp(time.time())
        fresh = RunRecord(display_name=run.run_id, created_at=now, heartbeat_at=now)
        self._site.records.change(run, lambda record: attrs.evolve(record or fresh, state=state, heartbeat_at=now))

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        if form.get("grant_type") != _JWT_BEARER:
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        token = self._access.exchange(str(form.get("assertion", "")))
        if token is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": self._access.token_lifetime}
        )


def _run(request: web.Request) -> RunPath:
    return RunPath(*(request.match_info[part] for part in ("entity", "project", "run")))


async def _json_object(request: web.Request) -> dict[str, object]:
    try:
        body: object = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    return {str(key): value for key, value in body.items()} if isinstance(body, dict) else {}
