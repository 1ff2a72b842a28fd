"""Hand out the files of runs over HTTP: uvicorn web_service:app, then GET /ENTITY/PROJECT/RUN/NAME.

Nothing touches the disk and no file is held in memory: a piece is read from the store when the one before it
has gone out, so that a slow client slows down its own download and nothing else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from wbfiles_async import AsyncApi, RemoteFileNotFoundError, RunNotFoundError


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, AsyncApi]]:
    """Open one client for all requests: it shares connections, and limits them."""
    async with AsyncApi() as api:
        yield {"api": api}


async def send_file(request: Request) -> StreamingResponse:
    """Stream a file as it arrives."""
    api: AsyncApi = request.state.api
    path = request.path_params
    try:
        file = await api.run("/".join(path[part] for part in ("entity", "project", "run"))).file(path["name"])
    except (RunNotFoundError, RemoteFileNotFoundError) as error:
        raise HTTPException(404, str(error)) from error
    # Without a length it goes out in chunks; a stream that breaks off is seen as cut short in either case.
    headers = {} if file.size_bytes is None else {"Content-Length": str(file.size_bytes)}
    return StreamingResponse(file.stream(), media_type=file.mimetype, headers=headers)


app = Starlette(routes=[Route("/{entity}/{project}/{run}/{name:path}", send_file)], lifespan=lifespan)
