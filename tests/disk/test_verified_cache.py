"""The cache of verified files of bulk downloads, and when it is not trusted."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from scripted_server import RUN, ScriptedServer, client
from scripted_server import server as server
from scripted_server import waits as waits

from wbfiles_async import DownloadReport, FileResult
from wbfiles_async._disk import verified_cache as remembered
from wbfiles_async._disk.verified_cache import VerifiedFile, VerifiedFileCache
from wbfiles_async.testing import LocalServer

pytestmark = pytest.mark.usefixtures("waits", "eager")

STATE = ".wbfiles-state"
LONG_AGO, JUST_NOW = -3600.0, 3600.0
"""Margins with which every file counts as changed long before, or during, its reading."""

NAMES = [f"media/{n % 3}/{n}.bin" for n in range(20)]
CONTENTS = {name: f"the content of {name}".encode() * 20 for name in NAMES}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the cache for a few files already."""
    monkeypatch.setattr(remembered, "BATCH_FILES", 4)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    names: list[str] = []
    digest = hashlib.file_digest

    def noted(file: IO[bytes], *rest: Callable[[], object]) -> object:
        names.append(str(Path(f"/proc/self/fd/{file.fileno()}").readlink()))
        return digest(file, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", noted)
    return names


@pytest.fixture(autouse=True)
def stored(server: ScriptedServer) -> None:
    for name, data in CONTENTS.items():
        server.put(name, data)


async def fetch(
    server: ScriptedServer, root: Path, on_result: Callable[[FileResult], None] | None = None, **options: bool
) -> DownloadReport:
    async with client(server, **options) as api:
        return await api.run(RUN).download(root, on_result=on_result)


def put_in_place(root: Path) -> None:
    for name, data in CONTENTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def all_right(root: Path) -> bool:
    return all((root / name).read_bytes() == data for name, data in CONTENTS.items())


async def test_downloaded_file_is_not_read_by_the_next_download(
    server: ScriptedServer, tmp_path: Path, read: list[str]
) -> None:
    await fetch(server, tmp_path)
    report = await fetch(server, tmp_path)
    assert (report.kept, report.verified, report.downloaded) == (20, 20, 0)
    assert read == []
    assert len(server.seen()) == 20


async def test_verified_file_is_not_read_again(
    server: ScriptedServer, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MARGIN", LONG_AGO)
    put_in_place(tmp_path)
    await fetch(server, tmp_path)
    assert len(read) == 20
    report = await fetch(server, tmp_path)
    assert (report.kept, report.verified) == (20, 20)
    assert len(read) == 20


async def test_file_possibly_changed_during_reading_is_read_again(
    server: ScriptedServer, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MARGIN", JUST_NOW)
    put_in_place(tmp_path)
    for _ in range(2):
        assert (await fetch(server, tmp_path)).kept == 20
    assert len(read) == 40


async def test_future_timestamp_is_never_trusted(
    server: ScriptedServer, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MARGIN", LONG_AGO)
    put_in_place(tmp_path)
    os.utime(tmp_path / NAMES[0], (2e9, 2e9 + 2e9))
    for _ in range(2):
        assert (await fetch(server, tmp_path)).kept == 20
    assert read[20:] == [str(tmp_path / NAMES[0])]


@pytest.fixture
def coarse(tmp_path: Path) -> Iterator[Path]:
    """A file system with a clock granularity of milliseconds, like most before Linux 6.13."""
    folder = tmp_path / "coarse"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "ramfs", "ramfs", folder], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_change_right_after_the_download_is_noticed(
    server: ScriptedServer, coarse: Path, read: list[str]
) -> None:
    def corrupt(result: FileResult) -> None:
        assert result.path is not None
        with result.path.open("r+b") as file:  # the same length, within the same tick of the file system's clock
            file.write(b"T")

    await fetch(server, coarse, on_result=corrupt)
    assert not all_right(coarse)
    report = await fetch(server, coarse)
    assert (report.downloaded, report.kept) == (20, 0)
    assert all_right(coarse)
    read.clear()
    await fetch(server, coarse)
    assert read == [], "this time nothing was spoilt"


def _spoil_and_restore_the_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace_by_a_spoilt_file_of_the_same_time(path: Path) -> None:
    other = path.with_suffix(".other")
    shutil.copy2(path, other)
    _spoil_and_restore_the_time(other)
    other.replace(path)


def _swap_with_another(path: Path) -> None:
    other, spare = path.with_name("3.bin"), path.with_name("spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


@pytest.mark.parametrize(
    ("change", "downloaded"),
    [
        (lambda path: path.touch(), 0),
        (lambda path: path.chmod(0o600), 0),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), 1),
        (lambda path: path.write_bytes(b"shorter"), 1),
        (lambda path: path.unlink(), 1),
        (_spoil_and_restore_the_time, 1),
        (_replace_by_a_spoilt_file_of_the_same_time, 1),
        (_swap_with_another, 2),
    ],
    ids=["touched", "chmod", "rewritten", "shortened", "removed", "time restored", "replaced", "swapped"],
)
async def test_changed_file_is_verified_again(
    server: ScriptedServer, tmp_path: Path, change: Callable[[Path], None], downloaded: int
) -> None:
    await fetch(server, tmp_path)
    change(tmp_path / NAMES[0])
    report = await fetch(server, tmp_path)
    assert (report.downloaded, report.kept, report.verified) == (downloaded, 20 - downloaded, 20)
    assert all_right(tmp_path)


async def test_newer_version_on_the_server_is_downloaded(server: ScriptedServer, tmp_path: Path) -> None:
    await fetch(server, tmp_path)
    server.put(NAMES[0], CONTENTS[NAMES[0]][::-1])
    report = await fetch(server, tmp_path)
    assert (report.downloaded, report.kept) == (1, 19)
    assert (tmp_path / NAMES[0]).read_bytes() == CONTENTS[NAMES[0]][::-1]


async def test_folder_replaced_by_a_link_is_refused_despite_the_cache(server: ScriptedServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    await fetch(server, root)
    (root / "media/0").rename(tmp_path / "elsewhere")
    (root / "media/0").symlink_to(tmp_path / "elsewhere")
    async with client(server) as api:
        report = await api.run(RUN).download(root, raise_on_error=False)
    assert {type(failure.error).__name__ for failure in report.failures} == {"UnsafePathError"}
    assert (report.failed, report.kept) == (7, 13)


async def test_option_turns_the_cache_off(server: ScriptedServer, tmp_path: Path, read: list[str]) -> None:
    await fetch(server, tmp_path, remember=False)
    assert not (tmp_path / STATE).exists()
    await fetch(server, tmp_path)
    await fetch(server, tmp_path, remember=False)
    assert len(read) == 40


async def test_no_verify_caches_nothing(server: ScriptedServer, tmp_path: Path, read: list[str]) -> None:
    await fetch(server, tmp_path, verify=False)
    assert not (tmp_path / STATE).exists()
    assert (await fetch(server, tmp_path)).kept == 20
    assert len(read) == 20


async def test_dry_run_reads_the_cache_and_writes_nothing(
    server: ScriptedServer, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "MARGIN", LONG_AGO)
    put_in_place(tmp_path)
    async with client(server) as api:
        await api.run(RUN).download(tmp_path, dry_run=True)
        assert not (tmp_path / STATE).exists()
        await api.run(RUN).download(tmp_path)
        read.clear()
        assert (await api.run(RUN).download(tmp_path, dry_run=True)).kept == 20
    assert read == []


async def test_few_small_files_create_no_cache_file(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "BATCH_FILES", 256)
    await fetch(server, tmp_path)
    assert not (tmp_path / STATE).exists()


async def test_cache_file_is_private_and_never_counted(server: ScriptedServer, tmp_path: Path) -> None:
    server.put(STATE, b"1")
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert (tmp_path / STATE).stat().st_mode & 0o777 == 0o600
    assert (report.files, report.downloaded, report.failed) == (21, 20, 1)
    assert [failure.name for failure in report.failures] == [STATE]


def _garbage(state: Path) -> None:
    state.write_bytes(random.Random(0).randbytes(1 << 16))


def _damage(state: Path) -> None:
    data = bytearray(state.read_bytes())
    data[16:] = random.Random(0).randbytes(len(data) - 16)
    state.write_bytes(data)


def _flip(state: Path) -> None:
    state.write_bytes(bytes(byte ^ 1 if n >= 16 else byte for n, byte in enumerate(state.read_bytes())))


def _cut(state: Path) -> None:
    os.truncate(state, 5000)


def _stretch(state: Path) -> None:
    os.truncate(state, (1 << 30) + 1)


def _folder(state: Path) -> None:
    state.unlink()
    state.mkdir()


def _pipe(state: Path) -> None:
    state.unlink()
    os.mkfifo(state)


def _link(state: Path) -> None:
    state.replace(state.with_name("precious"))
    state.symlink_to("precious")


def _hard_link(state: Path) -> None:
    os.link(state, state.with_name("precious"))


def _open_to_all(state: Path) -> None:
    state.chmod(0o666)


@pytest.mark.parametrize(
    "corrupt", [_garbage, _damage, _flip, _cut, _stretch, os.unlink, _folder, _pipe, _link, _hard_link, _open_to_all]
)
async def test_any_cache_content_leaves_downloads_correct(
    server: ScriptedServer, tmp_path: Path, corrupt: Callable[[Path], None]
) -> None:
    await fetch(server, tmp_path)
    (tmp_path / NAMES[0]).write_bytes(b"spoilt")
    corrupt(tmp_path / STATE)
    precious = tmp_path / "precious"
    before = precious.read_bytes() if precious.exists() else None
    report = await fetch(server, tmp_path)
    assert (report.kept, report.downloaded, report.verified) == (19, 1, 20)
    assert all_right(tmp_path)
    if before is not None:
        assert precious.read_bytes() == before


@pytest.mark.parametrize("corrupt", [_damage, _cut, os.unlink])
async def test_damaged_cache_file_is_rebuilt(
    server: ScriptedServer,
    tmp_path: Path,
    read: list[str],
    monkeypatch: pytest.MonkeyPatch,
    corrupt: Callable[[Path], None],
) -> None:
    monkeypatch.setattr(remembered, "MARGIN", LONG_AGO)
    await fetch(server, tmp_path)
    corrupt(tmp_path / STATE)
    for _ in range(3):
        await fetch(server, tmp_path)
    read.clear()
    await fetch(server, tmp_path)
    assert read == []


async def test_foreign_file_of_that_name_is_left_alone_and_reported(
    server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / STATE).write_bytes(b"somebody's notes")
    report = await fetch(server, tmp_path)
    assert report.downloaded == 20
    assert (tmp_path / STATE).read_bytes() == b"somebody's notes"
    assert [r.levelno for r in caplog.records if "remove it" in r.getMessage()] == [logging.WARNING]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_full_disk_for_the_cache_does_not_fail_the_download(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(remembered, "_write", refuse)
    report = await fetch(server, tmp_path)
    assert (report.downloaded, report.failed) == (20, 0)
    monkeypatch.undo()
    assert (await fetch(server, tmp_path)).kept == 20


def contents(folder: Path, count: int, prefix: str = "") -> list[VerifiedFile]:
    """Return that many verified files, the same file under many names."""
    path = folder / "one file"
    if not path.exists():
        path.touch()
    status = path.stat()
    return [VerifiedFile(f"{prefix}{n}", status, bytes(16)) for n in range(count)]


def opened(root: Path) -> VerifiedFileCache:
    return VerifiedFileCache(root, True)


def test_cache_file_grows_and_keeps_its_records(tmp_path: Path) -> None:
    many = contents(tmp_path, 20_000)
    memory = opened(tmp_path)
    for start in range(0, len(many), 500):
        memory.write(many[start : start + 500])
    memory.close()
    assert all(opened(tmp_path).known(many))
    assert not any(opened(tmp_path).known(contents(tmp_path, 20_000, "other")))
    assert (tmp_path / STATE).stat().st_size <= 20_000 * 80


def test_memory_does_not_grow_with_the_cache(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            memory = opened(tmp_path)
            for start in range(0, count, 250):
                memory.write(contents(tmp_path, 250, f"{start} "))
                assert all(memory.known(contents(tmp_path, 250, f"{start} ")))
            memory.close()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(1_000)
    assert peak(20_000) < few + 100_000  # five bytes for each file more


WRITER = """
import sys
from pathlib import Path
from wbfiles_async._disk.verified_cache import VerifiedFile, VerifiedFileCache
root, prefix = Path(sys.argv[1]), sys.argv[2]
status = (root / "one file").stat()
memory = VerifiedFileCache(root, True)
for start in range(0, 20_000, 100):
    memory.write([VerifiedFile(f"{prefix}{start + n}", status, bytes(16)) for n in range(100)])
    print(start, flush=True)
"""


def writer(root: Path, prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), prefix], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )


def test_concurrent_or_killed_writers_leave_no_false_record(tmp_path: Path) -> None:
    contents(tmp_path, 1)
    children = [writer(tmp_path, prefix) for prefix in "abc"]
    try:
        rounds = random.Random(7)
        for child in children[1:]:  # two are killed midway, one is left to finish
            assert child.stdout is not None
            for _ in range(rounds.randrange(20, 120)):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        children[0].communicate(timeout=60)
    finally:
        for child in children:
            child.kill()
            child.communicate()
    assert children[0].returncode == 0
    known = {prefix: sum(opened(tmp_path).known(contents(tmp_path, 20_000, prefix))) for prefix in "abcd"}
    assert known["d"] == 0
    assert known["a"] > 10_000, "writing at once loses some records, by which files are read once more, and not most"
    assert min(known["b"], known["c"]) > 0
    memory = opened(tmp_path)
    memory.write(contents(tmp_path, 1000, "d"))
    assert all(memory.known(contents(tmp_path, 1000, "d")))
    memory.close()
    assert {path.name for path in tmp_path.iterdir()} == {STATE, "one file"}


def test_command_line_turns_the_cache_off(tmp_path: Path) -> None:
    with LocalServer(tmp_path / "served") as server:
        for n in range(300):
            server.add_file(RUN, f"{n}.txt", b"%d" % n)
        environ = os.environ | {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}
        for arguments in (["--no-remember"], []):
            subprocess.run(
                [sys.executable, "-m", "wbfiles_async", "get", RUN, "-o", "data", *arguments],
                cwd=tmp_path, env=environ, check=True, capture_output=True, timeout=60,
            )  # fmt: skip
            assert (tmp_path / "data" / STATE).exists() is not bool(arguments)
