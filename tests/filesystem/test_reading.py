"""Reading: whole files, ranges, open files, copies; each from one object, with the expected requests."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from filesystems import Fs, Requests, WandbFileSystem, fsspec
from filesystems import environment as environment
from filesystems import fs as fs
from filesystems import requests as requests
from fsspec.callbacks import Callback

from wbfiles_async import ObjectChangedError
from wbfiles_async.testing import LocalServer

RUN = "team/vision/run0"
CONTENT = os.urandom(3_000_000)
SMALL = b"0123456789"


@pytest.fixture(autouse=True)
def served(environment: LocalServer) -> LocalServer:
    environment.add_file(RUN, "large.bin", CONTENT)
    environment.add_file(RUN, "small.txt", SMALL)
    environment.add_file(RUN, "media/a/b.txt", b"below")
    environment.add_file(RUN, "media/empty", b"")
    return environment


def ranges(server: LocalServer) -> list[str | None]:
    return [request.range for request in server.requests if request.method == "GET"]


class TestCat:
    @pytest.mark.parametrize("start", [None, 0, 3, -4, 20, -20])
    @pytest.mark.parametrize("end", [None, 5, 10, 30, -2, -20, 0])
    def test_ranges_follow_slice_rules(self, fs: Fs, start: int | None, end: int | None) -> None:
        assert fs.cat_file(f"{RUN}/small.txt", start=start, end=end) == SMALL[start:end]
        assert fs.cat_ranges([f"{RUN}/small.txt"], [start], [end]) == [SMALL[start:end]]

    def test_folder_is_not_a_file(self, fs: Fs) -> None:
        for call in (fs.cat_file, fs.open):
            for path in (f"{RUN}/media", RUN, "team/vision"):
                with pytest.raises(IsADirectoryError):
                    call(path)

    def test_several_paths_return_a_dictionary(self, fs: Fs) -> None:
        below = {f"{RUN}/media/a/b.txt": b"below", f"{RUN}/media/empty": b""}
        assert fs.cat(f"{RUN}/media/", recursive=True, on_error="omit") == below
        assert fs.cat([f"{RUN}/small.txt", f"{RUN}/none"], on_error="omit") == {f"{RUN}/small.txt": SMALL}

    def test_near_ranges_of_a_file_are_one_request(self, served: LocalServer, fs: Fs) -> None:
        path = f"{RUN}/large.bin"
        starts = [2_900_000, 100, 0, 150, 2_899_000, 50]
        ends = [None, 200, 10, 160, 2_899_100, 50]
        found = fs.cat_ranges([path] * 6, starts, ends)
        assert found == [CONTENT[start:end] for start, end in zip(starts, ends, strict=True)]
        assert sorted(filter(None, ranges(served))) == ["bytes=0-199", "bytes=2899000-2999999"]
        assert fs.cat_ranges([path, f"{RUN}/small.txt"], 1, 4) == [CONTENT[1:4], SMALL[1:4]]

    def test_errors_are_returned_or_raised(self, fs: Fs) -> None:
        paths = [f"{RUN}/small.txt", f"{RUN}/none", f"{RUN}/small.txt"]
        one, error, two = fs.cat_ranges(paths, 0, 2)
        assert (one, two) == (b"01", b"01")
        assert isinstance(error, FileNotFoundError)
        with pytest.raises(FileNotFoundError):
            fs.cat_ranges(paths, 0, 2, on_error="raise")
        with pytest.raises(ValueError, match="lengths"):
            fs.cat_ranges(paths, [0], [1])


class TestOpen:
    def test_reads_like_a_local_file(self, fs: Fs) -> None:
        ours = io.BytesIO(CONTENT)
        with fs.open(f"wandb://{RUN}/large.bin", block_size=50_000) as file:
            for offset, whence, count in ((10, 0, 100), (-5, 2, 10), (1_000_000, 0, 400_000), (-1_400_000, 1, 70_000)):
                assert file.seek(offset, whence) == ours.seek(offset, whence)
                assert file.read(count) == ours.read(count)
            assert file.size == len(CONTENT)
            assert file.info()["name"] == f"{RUN}/large.bin"
            file.seek(0)
            assert file.read() == CONTENT

    def test_sequential_reads_grow(self, served: LocalServer, fs: Fs) -> None:
        with fs.open(f"{RUN}/large.bin", block_size=100_000) as file:
            while file.read(10_000):
                pass
        assert ranges(served) == [
            "bytes=0-99999",
            "bytes=100000-299999",
            "bytes=300000-699999",
            "bytes=700000-1499999",
            "bytes=1500000-2999999",
        ]

    @pytest.mark.parametrize("cache_type", ["readahead", "none", "bytes", "all", "blockcache", "first"])
    def test_fsspecs_own_caches_may_be_used(self, fs: Fs, cache_type: str) -> None:
        with fs.open(f"{RUN}/large.bin", cache_type=cache_type, block_size=100_000) as file:
            file.seek(1_000_000)
            assert file.read(250_000) == CONTENT[1_000_000:1_250_000]

    def test_file_that_is_replaced_is_never_mixed(self, served: LocalServer, fs: Fs) -> None:
        with fs.open(f"{RUN}/large.bin", block_size=1000) as file:
            assert file.read(10) == CONTENT[:10]
            served.add_file(RUN, "large.bin", CONTENT[::-1])
            file.seek(1_000_000)
            with pytest.raises(ObjectChangedError, match="replaced after it was opened"):
                file.read(10)
            pickled = pickle.dumps(file)
        with pytest.raises(ObjectChangedError, match="opened and pickled"):
            pickle.loads(pickled)

    def test_open_file_is_pickled_with_its_position(self, fs: Fs) -> None:
        with fs.open(f"{RUN}/small.txt") as file:
            file.seek(4)
            with pickle.loads(pickle.dumps(file)) as again:
                assert again.read() == SMALL[4:]

    def test_text_and_compression_are_fsspecs(self, served: LocalServer, fs: Fs) -> None:
        import gzip

        served.add_file(RUN, "lines.txt.gz", gzip.compress(b"one\ntwo\n"))
        with fs.open(f"{RUN}/lines.txt.gz", "rt", compression="infer") as text:
            assert list(text) == ["one\n", "two\n"]
        assert fs.read_text(f"{RUN}/small.txt") == SMALL.decode()
        assert fs.head(f"{RUN}/small.txt", 3) == b"012"
        assert fs.tail(f"{RUN}/small.txt", 3) == b"789"

    def test_stream_is_read_once_and_checked(self, served: LocalServer, fs: Fs) -> None:
        with fs.open(f"{RUN}/large.bin", block_size=0) as file:
            assert file.read(7) == CONTENT[:7]
            assert file.read() == CONTENT[7:]
            with pytest.raises(io.UnsupportedOperation):
                file.seek(0)
        assert ranges(served) == [None]
        served.root.joinpath(RUN, "small.txt").write_bytes(SMALL)
        with fs.open(f"{RUN}/small.txt", block_size=0) as file:
            assert file.read(3) == SMALL[:3], "and is closed half read"

    @pytest.mark.parametrize("mode", ["ab", "r+b", "a", "r+", "rb+", "w+b"])
    def test_unsupported_modes_are_refused(self, fs: Fs, mode: str) -> None:
        with pytest.raises(NotImplementedError, match="mode"):
            fs.open(f"{RUN}/small.txt", mode)
        assert fs.cat(f"{RUN}/small.txt") == SMALL

    def test_chains_of_file_systems(self, served: LocalServer, tmp_path: Path) -> None:
        import zipfile

        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("inner/a.txt", b"packed")
        served.add_file(RUN, "pack.zip", packed.getvalue())
        with fsspec.open(f"zip://inner/a.txt::wandb://{RUN}/pack.zip") as file:
            assert file.read() == b"packed"
        cached = fsspec.filesystem("filecache", target_protocol="wandb", cache_storage=str(tmp_path / "cache"))
        for _ in range(2):
            assert cached.cat(f"{RUN}/small.txt") == SMALL


class TestAsynchronous:
    async def test_asynchronous_file_system_works_in_its_loop(self, served: LocalServer) -> None:
        fs = WandbFileSystem(asynchronous=True)
        try:
            assert await fs._cat_file(f"{RUN}/small.txt") == SMALL
            assert await fs._find(RUN) == [
                f"{RUN}/{name}" for name in ("large.bin", "media/a/b.txt", "media/empty", "small.txt")
            ]
            async with await fs.open_async(f"{RUN}/large.bin") as file:
                assert file.size == len(CONTENT)
                await file.seek(-10, os.SEEK_END)
                assert await file.read() == CONTENT[-10:]
            with pytest.raises(NotImplementedError, match="mode"):
                await fs.open_async(f"{RUN}/small.txt", "ab")
            with pytest.raises(ValueError, match="open_async"):
                fs.open(f"{RUN}/small.txt")
        finally:
            await fs.aclose()
            await fs.aclose()
        assert await fs._cat_file(f"{RUN}/small.txt") == SMALL, "later use makes another client"
        await fs.aclose()

    async def test_cancelled_lookup_does_not_affect_others(self, served: LocalServer) -> None:
        fs = WandbFileSystem(asynchronous=True)
        first = asyncio.create_task(fs._info(f"{RUN}/small.txt"))
        second = asyncio.create_task(fs._info(f"{RUN}/large.bin"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)["size"] == len(CONTENT)
        with pytest.raises(asyncio.CancelledError):
            await first
        await fs.aclose()


class RecordingCallback(Callback):
    """Records its calls, and makes a child for each file."""

    def __init__(self) -> None:
        self.size: int | None = None
        self.value = 0
        self.hooks: dict[str, object] = {}
        self.children: dict[str, RecordingCallback] = {}
        self.closed = False

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Callback:
        return self.children.setdefault(Path(path_2).name, RecordingCallback())

    def close(self) -> None:
        self.closed = True


class TestGet:
    def local(self, root: Path) -> dict[str, bytes]:
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def test_run_is_copied_by_the_bulk_engine(self, fs: Fs, requests: Requests, tmp_path: Path) -> None:
        callback = RecordingCallback()
        fs.get(RUN, str(tmp_path / "new"), recursive=True, callback=callback)
        expected = {"large.bin": CONTENT, "small.txt": SMALL, "media/a/b.txt": b"below", "media/empty": b""}
        assert self.local(tmp_path / "new") == expected, "and nothing of ours beside"
        assert (callback.size, callback.value) == (4, 4)
        large = callback.children["large.bin"]
        assert (large.size, large.value, large.closed) == (len(CONTENT), len(CONTENT), True)
        fs.get(f"{RUN}/media", str(tmp_path), recursive=True)
        assert self.local(tmp_path / "media") == {"a/b.txt": b"below", "empty": b""}
        requests()
        fs.get(RUN, str(tmp_path / "new"), recursive=True)
        assert self.local(tmp_path / "new" / "run0") == expected, "into a folder that exists"

    def test_good_files_are_kept(self, fs: Fs, requests: Requests, tmp_path: Path) -> None:
        for wanted, corrupt in ((4, False), (0, True), (1, False)):
            requests()
            fs.get(f"{RUN}/", f"{tmp_path}/new/", recursive=True)
            assert requests().get("store", 0) == wanted
            if corrupt:
                (tmp_path / "new" / "small.txt").write_bytes(b"other file")

    def test_custom_names(self, fs: Fs, tmp_path: Path) -> None:
        callback = RecordingCallback()
        sources, out = [f"{RUN}/small.txt", f"{RUN}/media/a/b.txt"], tmp_path / "out"
        fs.get(sources, [str(out / "x" / "one"), str(out / "two.txt")], callback=callback)
        assert self.local(out) == {"x/one": SMALL, "two.txt": b"below"}
        assert (callback.value, callback.children["one"].value) == (2, len(SMALL))
        fs.get_file(f"{RUN}/small.txt", str(tmp_path / "three"))
        fs.get_file(f"{RUN}/small.txt", str(tmp_path / "three"))
        assert (tmp_path / "three").read_bytes() == SMALL

    def test_into_an_open_file(self, fs: Fs) -> None:
        target, callback = io.BytesIO(), RecordingCallback()
        fs.get_file(f"{RUN}/large.bin", target, callback=callback)
        assert target.getvalue() == CONTENT
        assert (callback.size, callback.value) == (len(CONTENT), len(CONTENT))

    def test_failure_is_raised_and_leaves_no_part(
        self, served: LocalServer, fs: Fs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fs.find(RUN)
        served.root.joinpath(RUN, "small.txt").unlink()
        with pytest.raises(FileNotFoundError):
            fs.get(RUN, str(tmp_path / "new"), recursive=True)
        assert "small.txt" not in self.local(tmp_path / "new")
        with pytest.raises(FileNotFoundError):
            fs.get(f"{RUN}/none", str(tmp_path / "none"))
