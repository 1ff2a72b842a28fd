"""An open file: any ranges of one object, never of two, over each kind of transport."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator

import pytest
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    base64_md5,
    client,
    refusal,
    remote,
)
from scripted_server import server as server
from test_cancellation import settled
from transports import each_transport

from wbfiles_async import Api, ConfigurationError, File, IntegrityError, ObjectChangedError, TransferError
from wbfiles_async._download import random_access
from wbfiles_async.testing import LocalServer

CONTENT = bytes(range(256)) * 40 + b"the end"
MIB = 1 << 20


def ranges(server: ScriptedServer) -> list[tuple[int, int | None] | None]:
    return [seen.range for seen in server.seen()]


class TestReading:
    @each_transport
    async def test_reads_and_seeks_like_a_local_file(self, server: ScriptedServer) -> None:
        ours = io.BytesIO(CONTENT)
        async with client(server) as api, await remote(api, server.put("a", CONTENT)).open(block_size=100) as file:
            for offset, whence, count in ((0, 0, 10), (5, 1, 300), (-7, 2, 100), (3, 0, 0), (-50, 1, 20), (9, 2, 5)):
                if whence == 1 and offset < 0:
                    ours.seek(500)
                    await file.seek(500)
                assert await file.seek(offset, whence) == ours.seek(offset, whence)
                assert await file.read(count) == ours.read(count)
                assert await file.tell() == ours.tell()
            await file.seek(20)
            assert await file.read() == CONTENT[20:]
            assert await file.read() == await file.read(5) == b""
            assert file.size == len(CONTENT)

    async def test_opening_and_seeking_send_no_request(self, server: ScriptedServer) -> None:
        async with client(server) as api:
            file = await remote(api, server.put("a", CONTENT)).open()
            await file.seek(0, os.SEEK_END)
            assert await file.tell() == len(CONTENT)
            await file.close()
            await file.close()
            assert server.requests == []
            with pytest.raises(ValueError, match="closed"):
                await file.read(1)
            with pytest.raises(ValueError, match="closed"):
                await file.seek(0)

    async def test_cached_blocks_are_not_requested_again(self, server: ScriptedServer) -> None:
        async with client(server) as api, await remote(api, server.put("a", CONTENT)).open(block_size=1000) as file:
            for offset in (0, 100, 500, 20, 10_200, 10_000):
                await file.seek(offset)
                assert await file.read(10) == CONTENT[offset : offset + 10]
        size = len(CONTENT)
        assert ranges(server) == [(0, 1000), (size - 1000, size)]

    async def test_later_requests_require_the_same_object(self, server: ScriptedServer) -> None:
        async with client(server) as api, await remote(api, server.put("a", CONTENT)).open(block_size=10) as file:
            for offset in (5000, 0, 3000):
                await file.seek(offset)
                await file.read(5)
        assert [seen.headers.get("if-match") for seen in server.seen()] == [None, '"v1"', '"v1"']

    async def test_long_range_takes_several_requests(self, server: ScriptedServer) -> None:
        content = os.urandom(5 * MIB)
        async with client(server, part_size=MIB) as api, await remote(api, server.put("a", content)).open() as file:
            await file.seek(1)
            assert await file.read() == content[1:]
        assert len(server.seen()) == random_access.PARTS

    async def test_concurrent_tasks_request_each_byte_once(self, server: ScriptedServer) -> None:
        async with client(server) as api, await remote(api, server.put("a", CONTENT)).open(block_size=64) as file:
            pieces = await asyncio.gather(*(file.read(7) for _ in range(50)))
        assert b"".join(pieces) == CONTENT[:350]

    async def test_failed_read_keeps_the_position(self, server: ScriptedServer) -> None:
        stored = Stored(CONTENT)
        node = server.put("a", CONTENT, stored, refusal(400, "Odd"), stored)
        async with client(server) as api, await remote(api, node).open(block_size=100) as file:
            assert await file.read(50) == CONTENT[:50]
            with pytest.raises(TransferError, match="400"):
                await file.read(100)
            assert await file.tell() == 50
            assert await file.read(100) == CONTENT[50:150]

    async def test_cancelled_read_leaves_nothing(self, server: ScriptedServer) -> None:
        gate = asyncio.Event()
        node = server.put("a", CONTENT, Stored(CONTENT).but(gate=gate), Stored(CONTENT))
        async with client(server) as api, await remote(api, node).open(block_size=100) as file:
            reading = asyncio.create_task(file.read(10))
            await settled(lambda: bool(server.seen()))
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await file.read(10) == CONTENT[:10]

    @pytest.mark.parametrize("mode", ["r", "w", "wb", "ab", "r+b", "xb", "rt", "", "rb+"])
    async def test_unsupported_modes_are_refused(self, server: ScriptedServer, mode: str) -> None:
        async with client(server) as api:
            file = remote(api, server.put("a", CONTENT))
            with pytest.raises(ConfigurationError, match="mode 'rb', not"):
                await file.open(mode)
            with pytest.raises(ConfigurationError, match="block_size"):
                await file.open(block_size=0)

    async def test_empty_file_is_read_without_a_request(self, server: ScriptedServer) -> None:
        async with client(server) as api, await remote(api, server.put("a", b"")).open() as file:
            assert await file.read() == await file.read(3) == b""
        assert server.requests == []

    async def test_it_is_not_pickled(self, server: ScriptedServer) -> None:
        async with client(server) as api, await remote(api, server.put("a", CONTENT)).open() as file:
            assert repr(file) == "<AsyncBinaryFile 'a'>"
            with pytest.raises(TypeError, match="open it in each process"):
                pickle.dumps(file)


class TestOneObject:
    @pytest.mark.parametrize("etag", ['"v2"', None], ids=["another ETag", "another length"])
    async def test_file_replaced_meanwhile_is_never_mixed(self, server: ScriptedServer, etag: str | None) -> None:
        other = Stored(b"other" * 3000, etag=etag)
        node = server.put("a", CONTENT, Stored(CONTENT, etag=etag and '"v1"'), other)
        async with client(server) as api, await remote(api, node).open(block_size=100) as file:
            assert await file.read(10) == CONTENT[:10]
            await file.seek(5000)
            with pytest.raises(ObjectChangedError, match=r"replaced after it was opened.*Open it again"):
                await file.read(10)

    async def test_expired_url_is_renewed_for_the_same_object_only(self, server: ScriptedServer) -> None:
        expired = refusal(403, "AccessDenied", "Request has expired")
        for replaced in (False, True):
            node = server.put("a", CONTENT, Stored(CONTENT), expired, Stored(CONTENT))
            async with client(server) as api:
                run = api.run(RUN)
                async with await (await run.file("a")).open(block_size=100) as file:
                    await file.read(10)
                    if replaced:
                        node["md5"] = base64_md5(b"another")
                    await file.seek(5000)
                    if replaced:
                        with pytest.raises(ObjectChangedError):
                            await file.read(10)
                    else:
                        assert await file.read(10) == CONTENT[5000:5010]

    async def test_small_file_is_verified_as_a_whole(self, server: ScriptedServer) -> None:
        node = server.put("a", CONTENT, md5=base64_md5(b"another"))
        async with client(server) as api, await remote(api, node).open() as file:
            with pytest.raises(IntegrityError, match="md5"):
                await file.read(10)


class TestStoresWithoutRanges:
    async def test_whole_file_is_requested_once_and_verified(self, server: ScriptedServer) -> None:
        node = server.put("a", CONTENT, Stored(CONTENT, ranges=False))
        async with client(server) as api, await remote(api, node).open(block_size=100) as file:
            for offset in (5000, 10, 9000):
                await file.seek(offset)
                assert await file.read(10) == CONTENT[offset : offset + 10]
        assert ranges(server) == [(5000, 5100), None]

    async def test_large_file_is_kept_in_a_temporary_file(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(random_access, "IN_MEMORY", 100)
        node = server.put("a", CONTENT, Stored(CONTENT, ranges=False))
        async with client(server) as api, await remote(api, node).open(block_size=100) as file:
            await file.seek(-7, os.SEEK_END)
            assert await file.read() == b"the end"
            await file.seek(0)
            assert await file.read() == CONTENT

    async def test_file_of_unknown_length_is_requested_whole(self, server: ScriptedServer) -> None:
        node = server.put("a", CONTENT, sizeBytes=None)
        async with client(server) as api, await remote(api, node).open() as file:
            assert file.size == len(CONTENT)
            await file.seek(-7, os.SEEK_END)
            assert await file.read() == b"the end"
        assert ranges(server) == [None]

    async def test_compressed_object_is_decompressed_or_refused(self, server: ScriptedServer) -> None:
        stored = gzip.compress(CONTENT)
        headers = {"Content-Encoding": "gzip", "x-goog-stored-content-encoding": "gzip"}
        plain = {"x-goog-stored-content-encoding": "gzip"}

        def as_gcs(seen: Seen) -> Answer:
            accepts = seen.headers.get("accept-encoding")
            return Answer(headers=headers, body=stored) if accepts == "gzip" else Answer(headers=plain, body=CONTENT)

        node = server.put("a", stored, as_gcs)
        async with client(server) as api:
            async with await remote(api, node).open() as file:
                assert await file.read() == CONTENT, "in order, the true length turns out in time"
                assert file.size == len(CONTENT)
            async with await remote(api, node).open() as file:
                await file.seek(-7, os.SEEK_END)
                with pytest.raises(TransferError, match=r"keeps this file compressed.*Use read_bytes"):
                    await file.read()


@pytest.fixture
def blocking(wandb_server: LocalServer) -> Iterator[Api]:
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


class TestBlocking:
    def put(self, server: LocalServer, api: Api, data: bytes, name: str = "a.bin") -> File:
        server.add_file(RUN, name, data)
        return api.run(RUN).file(name)

    def test_is_a_buffered_reader(self, wandb_server: LocalServer, blocking: Api) -> None:
        lines = b"".join(b"line %d\n" % number for number in range(50_000))
        with self.put(wandb_server, blocking, lines).open() as file:
            assert isinstance(file, io.BufferedReader)
            assert (file.readable(), file.seekable(), file.writable(), file.mode) == (True, True, False, "rb")
            assert file.name == "a.bin"
            assert [next(file), file.readline()] == [b"line 0\n", b"line 1\n"]
            assert file.seek(-len(b"line 49999\n"), os.SEEK_END) == len(lines) - 11
            assert file.read() == b"line 49999\n"
            file.seek(0)
            assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(lines).digest()
            file.seek(7)
            assert file.read() == lines[7:]
            with pytest.raises(io.UnsupportedOperation):
                file.write(b"x")
            with pytest.raises(ValueError, match="negative"):
                file.seek(-1)
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.read()
        with io.TextIOWrapper(blocking.run(RUN).file("a.bin").open(), encoding="ascii") as text:
            assert text.readline() == "line 0\n"

    def test_zip_directory_takes_few_requests(self, wandb_server: LocalServer, blocking: Api) -> None:
        packed = zipped({f"{number}.bin": os.urandom(200_000) for number in range(20)} | {"wanted.txt": b"this"})
        remote_file = self.put(wandb_server, blocking, packed)
        wandb_server.clear_requests()
        with remote_file.open(block_size=64 << 10) as file, zipfile.ZipFile(file) as archive:
            assert len(archive.namelist()) == 21
            assert archive.read("wanted.txt") == b"this"
        assert len(wandb_server.requests) == 1

    def test_safetensors_header_takes_one_request(self, wandb_server: LocalServer, blocking: Api) -> None:
        header = json.dumps({"w": {"dtype": "F32", "shape": [MIB], "data_offsets": [0, 4 * MIB]}}).encode()
        remote_file = self.put(wandb_server, blocking, struct.pack("<Q", len(header)) + header + bytes(4 * MIB))
        wandb_server.clear_requests()
        with remote_file.open(block_size=4096) as file:
            (length,) = struct.unpack("<Q", file.read(8))
            assert json.loads(file.read(length))["w"]["shape"] == [MIB]
        assert [request.range for request in wandb_server.requests] == ["bytes=0-4095"]

    def test_client_lives_as_long_as_the_file(self, wandb_server: LocalServer) -> None:
        api = Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key)
        file = self.put(wandb_server, api, CONTENT).open(block_size=10)
        del api
        gc.collect()
        with file:
            assert file.read() == CONTENT

    def test_open_file_works_in_a_forked_child(self, wandb_server: LocalServer, blocking: Api) -> None:
        with self.put(wandb_server, blocking, CONTENT).open(block_size=10) as file:
            assert file.read(5) == CONTENT[:5]
            context = multiprocessing.get_context("fork")
            ours, theirs = context.Pipe()
            child = context.Process(target=lambda: theirs.send_bytes(file.read()))
            child.start()
            assert ours.poll(30)
            assert ours.recv_bytes() == CONTENT[5:]
            child.join(30)
            assert child.exitcode == 0
            assert file.read() == CONTENT[5:], "the parent goes on too"
