"""Writing: the complete file or the old one; only in runs, and only if allowed."""

from __future__ import annotations

import gc
import os
import pickle
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filesystems import Fs, Requests, WandbFileSystem
from filesystems import environment as environment
from filesystems import fs as fs
from filesystems import requests as requests
from fsspec.callbacks import Callback

from wbfiles_async import UnsafePathError
from wbfiles_async._fsspec import writing
from wbfiles_async.testing import LocalServer

PROJECT = "team/vision"
RUN = f"{PROJECT}/run0"
CONTENT = os.urandom(300_000)


@pytest.fixture(autouse=True)
def served(environment: LocalServer) -> LocalServer:
    environment.add_file(RUN, "old.txt", b"old")
    environment.add_run(f"{PROJECT}/run1")
    return environment


def stored(server: LocalServer, run: str = RUN) -> dict[str, bytes]:
    root = server.root / run
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class TestOpen:
    @pytest.mark.parametrize("in_memory", [writing.IN_MEMORY, 1000])
    def test_file_appears_when_it_is_closed(
        self, served: LocalServer, fs: Fs, in_memory: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(writing, "IN_MEMORY", in_memory)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        fs.find(RUN)
        with fs.open(f"wandb://{RUN}/new/model.bin", "wb") as file:
            for start in range(0, len(CONTENT), 1000):
                assert file.write(CONTENT[start : start + 1000]) == 1000
            assert file.tell() == len(CONTENT)
            assert "new/model.bin" not in stored(served)
        assert stored(served)["new/model.bin"] == CONTENT
        assert fs.cat(f"{RUN}/new/model.bin") == CONTENT
        assert fs.find(RUN) == [f"{RUN}/new/model.bin", f"{RUN}/old.txt"], "what was listed before is forgotten"
        with pytest.raises(ValueError, match="closed"):
            file.write(b"more")
        file.close()
        assert [path for path in tmp_path.iterdir() if path.name.startswith("wbfiles-")] == []

    def test_failed_write_leaves_the_old_file(self, served: LocalServer, fs: Fs) -> None:
        for name in ("old.txt", "new.txt"):
            with suppress(RuntimeError), fs.open(f"{RUN}/{name}", "wb") as file:
                file.write(b"half of")
                raise RuntimeError
            abandoned = fs.open(f"{RUN}/{name}", "wb")
            abandoned.write(b"never closed")
            del abandoned, file
            gc.collect()
        assert stored(served) == {"old.txt": b"old"}

    def test_replacing_and_not_replacing(self, served: LocalServer, fs: Fs) -> None:
        with fs.open(f"{RUN}/old.txt", "wb") as file:
            file.write(b"new")
        with pytest.raises(FileExistsError):
            fs.open(f"{RUN}/old.txt", "xb")
        with fs.open(f"{RUN}/fresh.txt", "xb") as file:
            served.add_file(RUN, "fresh.txt", b"another's")
            file.write(b"too late")
            with pytest.raises(FileExistsError):
                file.close()
        assert stored(served) == {"old.txt": b"new", "fresh.txt": b"another's"}

    def test_text_is_fsspecs(self, served: LocalServer, fs: Fs) -> None:
        with fs.open(f"{RUN}/a.txt", "w", encoding="utf-8") as text:
            print("ä", file=text)
        fs.write_text(f"{RUN}/b.txt.gz", "ä", compression="gzip")
        assert stored(served)["a.txt"] == "ä\n".encode()
        assert fs.read_text(f"{RUN}/b.txt.gz", compression="gzip") == "ä"
        fs.touch(f"{RUN}/empty")
        assert stored(served)["empty"] == b""

    def test_transaction_uploads_all_or_none_of_the_closed_files(self, served: LocalServer, fs: Fs) -> None:
        with fs.transaction:
            with fs.open(f"{RUN}/a", "wb") as file:
                file.write(b"a")
            assert "a" not in stored(served)
        assert stored(served)["a"] == b"a"
        with suppress(RuntimeError), fs.transaction:
            with fs.open(f"{RUN}/b", "wb") as file:
                file.write(b"b")
            raise RuntimeError
        assert "b" not in stored(served)

    async def test_awaited(self, served: LocalServer) -> None:
        fs = WandbFileSystem(asynchronous=True)
        async with await fs.open_async(f"{RUN}/a", "wb") as file:
            assert await file.write(CONTENT) == len(CONTENT)
        assert stored(served)["a"] == CONTENT
        with pytest.raises(FileExistsError):
            await fs.open_async(f"{RUN}/a", "xb")
        with suppress(RuntimeError):
            async with await fs.open_async(f"{RUN}/b", "wb") as file:
                await file.write(b"b")
                raise RuntimeError
        assert "b" not in stored(served)
        await fs.aclose()


class TestPipeAndPut:
    def test_bytes(self, served: LocalServer, fs: Fs) -> None:
        fs.pipe({f"{RUN}/{number}": bytes([number]) for number in range(20)})
        fs.pipe_file(f"{RUN}/old.txt", memoryview(b"new"))
        assert stored(served) == {"old.txt": b"new"} | {str(number): bytes([number]) for number in range(20)}
        with pytest.raises(FileExistsError):
            fs.pipe_file(f"{RUN}/old.txt", b"x", mode="create")
        fs.pipe_file(f"{RUN}/created", b"x", mode="create")
        assert stored(served)["created"] == b"x"

    def test_many_bytes_of_a_run_are_one_upload(self, served: LocalServer, fs: Fs, requests: Requests) -> None:
        contents: dict[str, Any] = {f"{PROJECT}/run{number % 2}/deep/{number}": os.urandom(9) for number in range(60)}
        requests()
        fs.pipe(contents | {f"wandb://{RUN}/old.txt": memoryview(b"new"), f"{RUN}/more": bytearray(b"more")})
        assert {f"{RUN}/{name}": data for name, data in stored(served).items()} | {
            f"{PROJECT}/run1/{name}": data for name, data in stored(served, f"{PROJECT}/run1").items()
        } == contents | {f"{RUN}/old.txt": b"new", f"{RUN}/more": b"more"}
        sent = requests()
        assert (sent["CreateRunFiles"], sent["store"]) == (2, 62)
        fs.pipe({f"{RUN}/{number}": b"x" for number in range(150)})
        assert requests()["CreateRunFiles"] == 2, "a request names a hundred files"
        fs.pipe({})
        assert requests() == {}

    def test_of_many_bytes_what_fails_stops_nothing_else(self, served: LocalServer, fs: Fs) -> None:
        fs.find(RUN)
        with pytest.raises(FileExistsError):
            fs.pipe({f"{RUN}/old.txt": b"x", f"{RUN}/new.txt": b"new"}, mode="create")
        assert stored(served) == {"old.txt": b"old", "new.txt": b"new"}
        assert fs.find(RUN) == [f"{RUN}/new.txt", f"{RUN}/old.txt"], "what was listed before is forgotten"
        with pytest.raises(FileNotFoundError):
            fs.pipe({f"{PROJECT}/none/a": b"x", f"{PROJECT}/none/b": b"x"})
        with pytest.raises(UnsafePathError):
            fs.pipe({f"{RUN}/fine": b"x", f"{RUN}/../out": b"x"})
        assert "fine" not in stored(served)

    def test_folder_is_uploaded_in_batches_and_existing_files_are_kept(
        self, served: LocalServer, fs: Fs, requests: Requests, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        (source / "deep" / "er").mkdir(parents=True)
        files = {f"deep/er/{number}": os.urandom(10) for number in range(60)} | {"top": CONTENT}
        for name, data in files.items():
            (source / name).write_bytes(data)
        counts: list[int] = []

        class RecordingCallback(Callback):  # type: ignore[misc, unused-ignore]
            def __init__(self) -> None:
                self.size: Any = None
                self.value = 0
                self.hooks: dict[str, object] = {}

            def relative_update(self, inc: int = 1) -> None:
                counts.append(inc)

        fs.put(str(source), f"{RUN}/results", recursive=True, callback=RecordingCallback())
        assert stored(served) == {"old.txt": b"old"} | {f"results/{name}": data for name, data in files.items()}
        assert sum(counts) == len(files)
        assert requests()["CreateRunFiles"] < 10
        fs.put(f"{source}/", f"{RUN}/results/", recursive=True)
        assert "store" not in requests()
        fs.put_file(str(source / "top"), f"{RUN}/alone")
        assert stored(served)["alone"] == CONTENT
        with pytest.raises(FileExistsError):
            fs.put_file(str(source / "top"), f"{RUN}/alone", mode="create")

    def test_copies_and_moves(
        self, served: LocalServer, fs: Fs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        served.add_file(RUN, "folder/large", CONTENT)
        fs.cp(f"{RUN}/old.txt", f"{PROJECT}/run1/copy.txt")
        monkeypatch.setattr("wbfiles_async._fsspec.putting.IN_MEMORY", 1000)
        fs.mv(f"{RUN}/folder", f"{PROJECT}/run1/moved", recursive=True)
        fs.cp(f"{RUN}/old.txt", f"{RUN}/old.txt")
        assert stored(served) == {"old.txt": b"old"}
        assert stored(served, f"{PROJECT}/run1") == {"copy.txt": b"old", "moved/large": CONTENT}
        assert [path for path in tmp_path.iterdir() if path.name.startswith("wbfiles-")] == []


WRITES = {
    "open": lambda fs, path: fs.open(path, "wb"),
    "open to create": lambda fs, path: fs.open(path, "xb"),
    "pipe": lambda fs, path: fs.pipe(path, b"x"),
    "pipe of many": lambda fs, path: fs.pipe({path: b"x", f"{path}.too": b"x"}),
    "put": lambda fs, path: fs.put(__file__, path),
    "put_file": lambda fs, path: fs.put_file(__file__, path),
    "cp": lambda fs, path: fs.cp(f"{RUN}/old.txt", path),
    "mv": lambda fs, path: fs.mv(f"{RUN}/old.txt", path),
    "touch": lambda fs, path: fs.touch(path),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
class TestRefusals:
    def test_read_only(self, served: LocalServer, write: Any) -> None:
        fs = WandbFileSystem(read_only=True)
        with pytest.raises(PermissionError, match="read_only=True"):
            write(fs, f"{RUN}/new.txt")
        assert pickle.loads(pickle.dumps(fs)).read_only
        assert stored(served) == {"old.txt": b"old"}

    def test_files_require_an_existing_run(self, served: LocalServer, fs: Fs, write: Any) -> None:
        for path in ("team/new.txt", "new.txt", PROJECT):
            with pytest.raises((IsADirectoryError, FileNotFoundError)):
                write(fs, path)
        with pytest.raises(FileNotFoundError):
            getattr(write(fs, f"{PROJECT}/nothing/new.txt"), "close", print)()
        assert stored(served) == {"old.txt": b"old"}

    @pytest.mark.parametrize("name", ["../a", "a/../../b", "a//b", "a\0b"])
    def test_names_invalid_for_downloads(self, served: LocalServer, fs: Fs, write: Any, name: str) -> None:
        with pytest.raises((UnsafePathError, ValueError)):
            write(fs, f"{RUN}/{name}")
        assert stored(served) == {"old.txt": b"old"}
