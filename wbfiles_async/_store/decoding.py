"""Decompresses a file as it arrives, and compares it with length and md5 from the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from wbfiles_async._http.gzip import CorruptError, Gunzip
from wbfiles_async._md5 import new_md5
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.remote_file import RemoteFile
from wbfiles_async.errors import IntegrityError, TransferError


async def decoded(
    file: RemoteFile, pieces: AsyncGenerator[bytes | memoryview], *, host: str, verify: bool
) -> AsyncGenerator[bytes]:
    """Decompress a gzip stream, then verify it.

    Length and md5 from the API are those of the stored bytes. These are the compressed ones if the store keeps the
    file compressed (GCS), and the decompressed ones if a proxy compresses, so either may match. If the compressed
    ones do, ``file.decoded_md5`` is the md5 of the yielded bytes.

    Args:
        file: The file.
        pieces: The compressed bytes.
        host: The store's host, for messages.
        verify: Whether to compare md5s; lengths are always compared.

    Raises:
        RequestFailed: The stream ended too early. IntegrityError: It is damaged, too large, or not the file.
    """

    def wrong(message: str, expected: str, actual: str) -> IntegrityError:
        text = f"{file.name}: {host} sent it compressed, and {message}. List the files again and retry."
        return IntegrityError(text, name=file.name, host=host, offset=gunzip.taken, expected=expected, actual=actual)

    gunzip, stored, given = Gunzip(), new_md5(), new_md5()
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                stored.update(piece)
                for step in gunzip.feed(piece):
                    given.update(step)
                    yield step
                    await asyncio.sleep(0)  # a few bytes may expand to thousands of steps
    except CorruptError as error:
        raise wrong(str(error), "a gzip stream", str(error)) from None
    if not gunzip.is_whole:
        reason = f"{host} ended the compressed stream too early, at its byte {gunzip.taken}"
        cut = TransferError(f"{file.name}: {reason}.", name=file.name, host=host, offset=gunzip.taken)
        raise RequestFailed(RetryAction.RETRY, cut)
    md5, size = file.stated_md5, file.attributes.size_bytes
    if size not in (None, gunzip.taken, gunzip.given):
        lengths = f"{gunzip.taken} bytes and {gunzip.given} decompressed"
        raise wrong(f"it has {lengths}, where {size} were expected", str(size), lengths)
    if verify and md5 is not None and md5 not in (stored.digest(), given.digest()):
        digests = f"{stored.hexdigest()} and {given.hexdigest()} decompressed"
        raise wrong(f"its md5 is {digests}, where the server states {md5.hex()}", md5.hex(), digests)
    if md5 is not None:
        file.decoded_md5 = given.digest()
