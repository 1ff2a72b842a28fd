"""A place in an object store: looks up and writes whole objects. The only module that imports obstore."""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import anyio
import attrs
import obstore
from obstore.store import MemoryStore, from_url

from wbfiles_async._bucket.failures import is_missing, is_refused, store_failure
from wbfiles_async._bucket.roots import BucketRoot
from wbfiles_async._options import TransferOptions
from wbfiles_async.errors import ConfigurationError, ObjectStoreError, WBFilesError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore

__all__ = ["Bucket", "StoredObject"]

T = TypeVar("T")

MD5_KEY: Final = "wbfilesmd5"
"""Metadata key for the md5 that W&B states, in hexadecimal. Azure allows only letters and digits."""

PART_BYTES: Final = 8 << 20
"""Bytes of a part of a large object. S3 requires at least 5 MiB."""

MOST_PARTS: Final = 9_000
"""Maximum parts of an object; S3 allows 10,000."""

PARTS_AT_ONCE: Final = 2
"""Parts of one object in progress; one more is held in memory."""

REQUEST_SECONDS: Final = 300.0
"""Time limit of one request to the store in seconds, including a part's bytes: at least 27 KB per second."""

CLEANING_SECONDS: Final = 30.0
"""Seconds for a cancelled upload to remove its parts. An unreachable store keeps them."""

_EXIT_SECONDS: Final = 0.1
"""Seconds that the interpreter's exit waits. obstore's threads release Python objects shortly after a result is
known, and abort the process if the interpreter has ended by then (PyO3/pyo3-async-runtimes#40)."""

atexit.register(time.sleep, _EXIT_SECONDS)

_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

_memory: list[MemoryStore] = []
"""The store of ``memory://`` in this process."""


@attrs.frozen
class StoredObject:
    """An object's size and md5.

    Attributes:
        size: Length in bytes.
        md5: In hexadecimal: from our metadata, else its ETag, if that is an md5.
        is_ours: Whether it is from our metadata, and so the md5 that W&B states, whatever the length.
    """

    size: int
    md5: str | None
    is_ours: bool

    def has(self, size: int | None, md5: bytes | None) -> bool:
        """Return whether it has this length and md5; compares only lengths if no md5 is known."""
        if md5 is not None:
            return self.md5 == md5.hex() and (self.is_ours or size in (None, self.size))
        return size is not None and size == self.size


@attrs.frozen(eq=False)
class Bucket:
    """A place in an object store.

    Attributes:
        store: The store of obstore.
        url: Its URL, for messages.
    """

    store: ObjectStore
    url: str

    @classmethod
    def open(cls, root: BucketRoot, options: TransferOptions) -> Self:
        """Open a place. Makes no request.

        Raises:
            ConfigurationError: The URL, or the environment's settings of the store, cannot be used.
        """
        if root.store is not None:
            return cls(root.store, root.url)
        if root.url.startswith("memory:"):
            if not _memory:
                _memory.append(MemoryStore())
            return cls(_memory[0], root.url)
        try:
            store = from_url(
                root.url,
                config=None,
                client_options=_client_options(root.url, options, os.environ),
                retry_config={
                    "max_retries": options.attempts - 1,
                    "retry_timeout": timedelta(seconds=options.time_budget),
                },
                credential_provider=None,
            )
        except Exception as error:
            raise ConfigurationError(str(store_failure(error, name="", url=root.url))) from None
        return cls(store, root.url)

    def place_of(self, key: str) -> str:
        """Return the URL of an object, for messages."""
        return f"{self.url}/{key}"

    async def is_empty(self) -> bool:
        """Return whether the place is empty; false if listing is not permitted.

        Raises:
            ObjectStoreError: There is no such bucket, or it cannot be reached with these credentials.
        """
        try:
            async for some in obstore.list(self.store, chunk_size=1):
                if some:
                    return False
        except Exception as error:
            if is_refused(type(error).__name__, str(error)):
                return False
            raise store_failure(error, name="", url=self.url) from None
        return True

    async def look(self, key: str) -> StoredObject | None:
        """Return an object's size and md5; ``None`` if it does not exist.

        Raises:
            ObjectStoreError: The store fails, or refuses.
        """
        try:
            found = await obstore.get_async(self.store, key, options={"head": True})
        except Exception as error:
            if is_missing(type(error).__name__, str(error)):
                return None
            raise store_failure(error, name=key, url=self.url) from None
        noted = found.attributes.get(MD5_KEY)
        etag = (found.meta.get("e_tag") or "").strip('"')
        is_md5 = len(etag) == 32 and set(etag) <= set("0123456789abcdef")  # a multipart ETag is no md5
        return StoredObject(found.meta["size"], noted or (etag if is_md5 else None), is_ours=noted is not None)

    async def put(self, key: str, data: bytes, *, md5: bytes | None, mimetype: str | None) -> None:
        """Write a whole object.

        Raises:
            ObjectStoreError: The store fails, or refuses.
        """
        attributes = _attributes(md5, mimetype)
        await self._finish(key, obstore.put_async(self.store, key, data, attributes=attributes), lambda: None)

    async def put_stream(
        self,
        key: str,
        pieces: AsyncGenerator[bytes],
        *,
        size: int | None,
        md5: bytes | None,
        mimetype: str | None,
    ) -> None:
        """Write an object piece by piece; it appears after the last one.

        Args:
            key: Its key.
            pieces: Its bytes; if they raise, or the caller is cancelled, nothing is left.
            size: Their number, if known.
            md5: The md5 that the server states.
            mimetype: The media type, if known.

        Raises:
            ObjectStoreError: The store fails, or refuses.
            Exception: The exception of the pieces.
        """
        feed = _Feed(pieces)
        putting = obstore.put_async(
            self.store,
            key,
            feed,
            attributes=_attributes(md5, mimetype),
            use_multipart=True,
            chunk_size=max(PART_BYTES, -(-(size or 0) // MOST_PARTS)),
            max_concurrency=PARTS_AT_ONCE,
        )
        try:
            await self._finish(key, putting, feed.stop)
        except ObjectStoreError:
            if feed.failure is not None:
                raise feed.failure from None
            raise
        finally:
            await feed.aclose()

    async def _finish(self, key: str, putting: Coroutine[Any, Any, object], stop: Callable[[], None]) -> None:
        """Await an upload; if cancelled, stop it and clean up first, so that no parts are left."""
        task = asyncio.ensure_future(_as_coroutine(putting))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            stop()
            with anyio.move_on_after(CLEANING_SECONDS, shield=True), suppress(Exception):
                await asyncio.wait([task])
            if not task.done():
                task.cancel()
            elif not task.cancelled():
                task.exception()  # retrieved, so that the loop does not report it
            raise
        except WBFilesError:
            raise
        except Exception as error:
            raise store_failure(error, name=key, url=self.url) from None


def _client_options(url: str, options: TransferOptions, environ: Mapping[str, str]) -> ClientConfig:
    """Return connection options like those of our other connections, and from the environment.

    obstore reads a store's own settings from the environment, but these options only if none are passed.
    """
    prefix = "GOOGLE_" if url.startswith("gs:") else "AWS_" if url.startswith("s3") else "AZURE_"
    endpoint = next((environ[name] for name in _ENDPOINTS if environ.get(name)), "") if prefix == "AWS_" else ""
    config: ClientConfig = {
        "connect_timeout": timedelta(seconds=options.connect_timeout),
        "timeout": timedelta(seconds=REQUEST_SECONDS),
        "allow_http": _is_set(environ, f"{prefix}ALLOW_HTTP") or endpoint.lower().startswith("http://"),
        "allow_invalid_certificates": _is_set(environ, f"{prefix}ALLOW_INVALID_CERTIFICATES"),
    }
    if proxy := environ.get(f"{prefix}PROXY_URL"):
        config["proxy_url"] = proxy
    return config


def _is_set(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


async def _as_coroutine(awaitable: Coroutine[Any, Any, T]) -> T:
    return await awaitable


def _attributes(md5: bytes | None, mimetype: str | None) -> dict[str, str]:
    attributes = {} if md5 is None else {MD5_KEY: md5.hex()}
    if mimetype and mimetype.isascii() and mimetype.isprintable():
        attributes["Content-Type"] = mimetype
    return attributes


class _StoppedError(Exception):
    """The writing was cancelled."""


class _Feed:
    """Passes pieces to obstore, which requests them in the event loop; can be stopped while waiting for one.

    Attributes:
        failure: The exception of the pieces.
    """

    def __init__(self, pieces: AsyncGenerator[bytes]) -> None:
        self.failure: Exception | None = None
        self._pieces = pieces
        self._stopped = False
        self._next: asyncio.Task[bytes | None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._stopped:
            raise _StoppedError
        self._next = asyncio.ensure_future(_as_coroutine(anext(self._pieces, None)))
        try:
            piece = await self._next
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            raise _StoppedError from None
        except Exception as error:
            self.failure = error
            raise
        if piece is None:
            raise StopAsyncIteration
        return piece

    def stop(self) -> None:
        """Make a wait for the next piece fail at once."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()

    async def aclose(self) -> None:
        """End the pieces."""
        with anyio.CancelScope(shield=True):
            if self._next is not None and not self._next.done():
                self._next.cancel()
                await asyncio.wait([self._next])
            await self._pieces.aclose()
