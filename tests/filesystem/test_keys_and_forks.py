"""Pickles contain no key, and the file system works in forks, pools, threads and event loops."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import Connection

import pytest
from filesystems import Fs, WandbFileSystem, fsspec
from filesystems import environment as environment
from fsspec.config import conf

from wbfiles_async import AuthenticationError, ConfigurationError, TransferOptions
from wbfiles_async._fsspec.keys import key_of, mark_of
from wbfiles_async.testing import LocalServer

PATH = "team/vision/run0/a.txt"
PARALLEL = 4


@pytest.fixture
def served(environment: LocalServer) -> LocalServer:
    environment.add_file("team/vision/run0", "a.txt", b"content")
    return environment


@pytest.fixture
def given(served: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Fs:
    """A file system with the only key, passed as an argument."""
    monkeypatch.delenv("WANDB_API_KEY")
    return WandbFileSystem(api_key=served.api_key)


class TestKeys:
    def test_given_key_is_used_and_never_shown(self, served: LocalServer, given: Fs) -> None:
        assert given.cat(PATH) == b"content"
        shown = [repr(given), str(given), given.to_json(), repr(given.storage_options), given._fs_token, given.fsid]
        shown += [
            json.dumps(given.to_dict()),
            repr(pickle.dumps(given)),
            repr(given.__reduce__()),
            repr(given.open(PATH)),
        ]
        assert not [text for text in shown if served.api_key in text]
        assert given.storage_options["api_key"] == mark_of(served.api_key) != served.api_key

    def test_file_system_is_equal_after_pickling(self, served: LocalServer, given: Fs) -> None:
        for fs in (given, WandbFileSystem(options={"connections": 3}, read_only=True)):
            for again in (pickle.loads(pickle.dumps(fs)), WandbFileSystem.from_json(fs.to_json())):
                assert again is fs
            copy = WandbFileSystem(**fs.storage_options, skip_instance_cache=True)
            assert (copy, hash(copy)) == (fs, hash(fs))
            assert copy is not fs
        assert given != WandbFileSystem()
        assert given != WandbFileSystem(api_key="y" * 40)
        assert pickle.loads(pickle.dumps(given)).cat(PATH) == b"content"

    def test_key_from_fsspec_configuration_is_hidden(
        self, served: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("WANDB_API_KEY")
        monkeypatch.setitem(conf, "wandb", {"api_key": served.api_key})
        fs = fsspec.filesystem("wandb")
        assert fs.cat(PATH) == b"content"
        assert served.api_key not in fs.to_json()

    def test_options_are_stored_json_compatible(self, served: LocalServer) -> None:
        fs = WandbFileSystem(options=TransferOptions(connections=3, verify=False))
        assert fs.storage_options["options"] == {"connections": 3, "verify": False}
        assert fs is WandbFileSystem(options={"connections": 3, "verify": False})
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            WandbFileSystem(options={"conections": 3})
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            WandbFileSystem(token="x")
        with pytest.raises(ConfigurationError):
            WandbFileSystem(base_url="ftp://x")

    def test_pickle_carries_the_server_without_credentials(self, served: LocalServer, given: Fs) -> None:
        script = """
import os, pickle, sys
fs = pickle.load(sys.stdin.buffer)
print(fs.base_url == sys.argv[1], fs.storage_options["api_key"] == sys.argv[2])
os.environ.pop("WANDB_BASE_URL", None)
try:
    print(fs.cat(sys.argv[3]))
except PermissionError as error:
    print(type(error).__name__)
"""
        arguments = [sys.executable, "-c", script, served.base_url, mark_of(served.api_key), PATH]
        for key, expected in (("", "AuthenticationError"), (served.api_key, "b'content'")):
            environment = os.environ | {"WANDB_API_KEY": key, "WANDB_BASE_URL": "https://elsewhere.test"}
            child = subprocess.run(
                arguments, input=pickle.dumps(given), env=environment, capture_output=True, timeout=60
            )
            assert (child.stdout.decode().split("\n")[:2], child.stderr) == (["True True", expected], b"")

    def test_credentials_are_found_later(self, served: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WANDB_API_KEY")
        fs = WandbFileSystem()
        with pytest.raises(AuthenticationError, match="WANDB_API_KEY"):
            fs.cat(PATH)
        monkeypatch.setenv("WANDB_API_KEY", served.api_key)
        assert fs.cat(PATH) == b"content"

    def test_marks_distinguish_keys(self) -> None:
        one, other = mark_of("a" * 40), mark_of("b" * 40)
        assert one != other
        assert mark_of(one) == one
        assert (key_of(one), key_of("<key 0>"), key_of(None)) == ("a" * 40, None, None)


def read(fs: Fs) -> bytes:
    content: bytes = fs.cat_file(PATH)
    return content


def answer(fs: Fs, pipe: Connection) -> None:
    with fs.open(PATH) as file:
        pipe.send_bytes(fs.cat(PATH) + file.read())


class TestForks:
    def test_two_forked_children_and_the_parent_use_one_file_system(self, served: LocalServer, given: Fs) -> None:
        assert given.cat(PATH) == b"content"
        opened = given.open(PATH)
        context = multiprocessing.get_context("fork")
        children = []
        for _ in range(2):
            ours, theirs = context.Pipe()
            child = context.Process(target=answer, args=(given, theirs))
            child.start()
            children.append((ours, child))
        assert given.cat(PATH) == opened.read() == b"content"
        for ours, child in children:
            assert ours.poll(30), "a child hangs"
            assert ours.recv_bytes() == b"contentcontent"
            child.join(30)
            assert child.exitcode == 0
        opened.close()
        assert given.find("team/vision/run0", refresh=True) == [PATH]

    def test_open_file_works_in_a_child(self, served: LocalServer, given: Fs) -> None:
        served.add_file("team/vision/run0", "large", bytes(range(256)) * 4000)
        with given.open("team/vision/run0/large", block_size=1000) as file:
            assert file.read(256) == bytes(range(256))
            context = multiprocessing.get_context("fork")
            ours, theirs = context.Pipe()

            def read_the_end() -> None:
                file.seek(-256, 2)
                theirs.send_bytes(file.read())

            child = context.Process(target=read_the_end)
            child.start()
            assert ours.poll(30), "the child hangs"
            assert ours.recv_bytes() == bytes(range(256))
            child.join(30)
            assert child.exitcode == 0
            file.seek(500_000)
            assert file.read(256) == (bytes(range(256)) * 2)[500_000 % 256 :][:256]

    def test_pool_of_new_processes(self, served: LocalServer) -> None:
        fs = WandbFileSystem()
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert list(pool.map(read, [fs] * 4)) == [b"content"] * 4


class TestLoops:
    def test_threads_share_one(self, served: LocalServer, given: Fs) -> None:
        with ThreadPoolExecutor(PARALLEL) as pool:
            assert list(pool.map(given.cat, [PATH] * 20)) == [b"content"] * 20

    def test_four_loops_use_one_at_the_same_time(self, served: LocalServer, given: Fs) -> None:
        fs = WandbFileSystem(api_key=served.api_key, asynchronous=True)
        together = threading.Barrier(PARALLEL)

        async def read() -> list[bytes]:
            try:
                read = await asyncio.gather(*(fs._cat_file(PATH) for _ in range(5)))
                await asyncio.to_thread(together.wait, 30)
                return [*read, await fs._cat_file(PATH)]
            finally:
                await fs.aclose()

        with ThreadPoolExecutor(PARALLEL) as pool:
            done = [pool.submit(asyncio.run, read()) for _ in range(PARALLEL)]
            assert [each.result(60) for each in done] == [[b"content"] * 6] * PARALLEL

    def test_loops_ended_without_close_leave_nothing(self, served: LocalServer) -> None:
        script = f"""
import asyncio, gc

from wbfiles_async.fsspec import WandbFileSystem

fs = WandbFileSystem(asynchronous=True)
for _ in range(3):
    print(asyncio.run(fs._cat_file({PATH!r})), len(fs._clients._links))
blocking = WandbFileSystem()
print(blocking.cat({PATH!r}))
del fs
WandbFileSystem.clear_instance_cache()
gc.collect()
print(blocking.cat({PATH!r}))
"""
        child = subprocess.run(
            [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60
        )
        assert (child.stderr, child.returncode) == ("", 0)
        assert child.stdout.splitlines() == ["b'content' 1"] * 3 + ["b'content'"] * 2
