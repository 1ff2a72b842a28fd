"""The API's part in an upload: requests URLs, marks uploads, and lists files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import anyio
import attrs

from wbfiles_async._backoff import is_transient
from wbfiles_async._graphql.api import WandbApi
from wbfiles_async._graphql.queries import CREATE_RUN_FILES, MARK_RUN_FILES_UPLOADED, SERVER_FEATURES
from wbfiles_async._graphql.upload_answers import check_marked, parse_marks_uploads, parse_upload_urls
from wbfiles_async._models import FileAttributes, RunPath, UploadUrl
from wbfiles_async.errors import ApiError, RateLimitedError, WBFilesError

__all__ = ["NAMES_AT_ONCE", "RunUploads"]

log = logging.getLogger(__name__)

NAMES_AT_ONCE: Final = 100
"""Maximum files per request. W&B states no limit; this number is never too long for a server."""


@attrs.define(eq=False)
class RunUploads:
    """The API's part in the uploads to one run.

    Args:
        api: W&B's API.
        run: The run, its entity known.
        base_url: The API's URL.
    """

    _api: WandbApi
    _run: RunPath
    _base_url: str
    _lock: anyio.Lock = attrs.field(factory=anyio.Lock, init=False)

    @property
    def run(self) -> RunPath:
        """The run."""
        return self._run

    async def listed(self, names: Sequence[str]) -> dict[str, FileAttributes]:
        """List files by name.

        Raises:
            RunNotFoundError: The run or its project does not exist or is not visible.
            ApiError: The server fails.
        """
        wanted, found = set(names), dict[str, FileAttributes]()
        async with aclosing(self._api.pages(self._run, names=tuple(names), per_page=len(names))) as pages:
            async for page in pages:
                found.update((file.name, file) for file in page if file.name in wanted)
        return found

    async def urls(self, names: Sequence[str]) -> tuple[dict[str, UploadUrl], dict[str, WBFilesError]]:
        """Request upload URLs.

        A name that the server refuses does not affect the others.

        Returns:
            The URLs, and errors for the other names.

        Raises:
            AuthenticationError: The credentials were not accepted.
            PermissionDeniedError: They do not suffice.
            ApiError: The server fails.
        """
        found, refused = dict[str, UploadUrl](), dict[str, WBFilesError]()
        pending = [list(names)]
        while pending:
            several = pending.pop()
            try:
                answer = await self._api.query(CREATE_RUN_FILES, self._variables(several))
                urls = parse_upload_urls(answer, run=self._run, base_url=self._base_url)
            except ApiError as error:
                if isinstance(error, RateLimitedError) or is_transient(error.status):
                    raise
                if len(several) == 1:
                    refused[several[0]] = error
                else:  # it may refuse only one of them
                    half = len(several) // 2
                    pending += [several[half:], several[:half]]
                continue
            for name in several:
                if name in urls:
                    found[name] = urls[name]
                else:
                    refused[name] = ApiError(f"{name}: the server states no URL to upload this file to.", status=200)
        return found, refused

    async def mark(self, names: Sequence[str]) -> None:
        """Mark files as uploaded, if the server requires it.

        Raises:
            ApiError: It fails, or does not confirm.
        """
        if await self.marks():
            check_marked(await self._api.query(MARK_RUN_FILES_UPLOADED, self._variables(names)))

    async def marks(self) -> bool:
        """Return whether uploads must be marked; requested once per client."""
        async with self._lock:
            if self._api.marks_uploads is None:
                try:
                    self._api.marks_uploads = parse_marks_uploads(await self._api.query(SERVER_FEATURES, {}))
                except ApiError as error:
                    if isinstance(error, RateLimitedError) or is_transient(error.status):
                        raise
                    log.info("the server does not state its features (%s), so it is not notified of uploads", error)
                    self._api.marks_uploads = False
        return self._api.marks_uploads

    def _variables(self, names: Sequence[str]) -> dict[str, object]:
        run = self._run
        return {"entity": run.entity, "project": run.project, "run": run.run_id, "files": list(names)}
