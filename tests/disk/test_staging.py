"""Temporary files outside the folder that they are published in."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import pytest
from systems import SYSTEM, WINDOWS, posix_only

from wbfiles_async import DestinationExistsError, LocalWriteError, UnsafePathError
from wbfiles_async._disk import staging
from wbfiles_async._disk.journal import encode_header, parse_journal
from wbfiles_async._disk.names import STAGING_NAME, is_ours, part_name, reason_against
from wbfiles_async._disk.part_file import write_whole
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._disk.resume import STALE_SECONDS, header_for
from wbfiles_async._disk.staging import Stage, open_stage, remove_dead_stages
from wbfiles_async._disk.system import open_root

SCRIPT = Path(__file__).parent.parent / "scripts" / "staged.py"
OLD, NEW = b"what was there before", b"new"
MODE = 0o644
DAY = STALE_SECONDS + 60

in_another_process = pytest.mark.skipif(sys.platform != SYSTEM, reason="the other process is not simulated")


@contextmanager
def staged(root: Path) -> Iterator[Stage]:
    stage = open_stage(TargetPath(root, ("a",)))
    try:
        yield stage
    finally:
        stage.remove()


def write(root: Path, stage: Stage, data: bytes = NEW, *, replace: bool = False) -> os.stat_result | None:
    return write_whole(TargetPath(root, ("a",)), [data], mode=MODE, replace=replace, durable=False, stage=stage)


def sweep(root: Path) -> None:
    with closing(open_root(root)) as folder:
        remove_dead_stages(folder)


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_file_is_published_elsewhere(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        published = write(tmp_path, stage)
        assert [path.name for path in (tmp_path / STAGING_NAME).rglob("*") if path.is_file()] == [
            path.name for path in (tmp_path / STAGING_NAME).glob(".*")
        ], "only the file that its process holds"
    found = (tmp_path / "a").stat()
    assert (tmp_path / "a").read_bytes() == NEW
    assert published is not None
    assert (published.st_ino, published.st_ctime_ns) == (found.st_ino, found.st_ctime_ns), "later changes are noticed"
    assert found.st_nlink == 1
    if not WINDOWS:
        assert stat.S_IMODE(found.st_mode) == MODE
    assert below(tmp_path) == ["a"]


def test_nobody_else_reaches_unfinished_files(tmp_path: Path) -> None:
    with staged(tmp_path):
        folders = [path for path in (tmp_path / STAGING_NAME).rglob("*") if path.is_dir()]
        assert len(folders) == staging.FOLDERS
        if not WINDOWS:
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / STAGING_NAME, *folders)}
            assert modes == {0o700}


def test_existing_file_is_kept_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    with staged(tmp_path) as stage:
        with pytest.raises(DestinationExistsError):
            write(tmp_path, stage)
        assert (tmp_path / "a").read_bytes() == OLD
        assert write(tmp_path, stage, replace=True) is not None
    assert (tmp_path / "a").read_bytes() == NEW
    assert below(tmp_path) == ["a"]


@pytest.mark.parametrize("replace", [False, True])
def test_link_and_folder_in_the_way_are_refused(tmp_path: Path, *, replace: bool) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.write_bytes(OLD)
    (root / "a").symlink_to(elsewhere)
    with staged(root) as stage:
        with pytest.raises(UnsafePathError):
            write(root, stage, replace=replace)
        (root / "a").unlink()
        (root / "a").mkdir()
        with pytest.raises(LocalWriteError) as caught:
            write(root, stage, replace=replace)
    assert caught.value.errno == errno.EISDIR
    assert elsewhere.read_bytes() == OLD
    assert below(root) == ["a"]


@posix_only("it renames without links")
@pytest.mark.parametrize("replace", [False, True])
def test_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replace: bool) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with staged(tmp_path) as stage:
        write(tmp_path, stage, OLD, replace=replace)
        if replace:
            write(tmp_path, stage, replace=True)
        else:
            with pytest.raises(DestinationExistsError):
                write(tmp_path, stage)
    assert (tmp_path / "a").read_bytes() == (NEW if replace else OLD)
    assert below(tmp_path) == ["a"]


def test_folder_of_stages_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / STAGING_NAME).symlink_to(elsewhere)
    with pytest.raises(OSError):  # the system's own, which differs
        open_stage(TargetPath(root, ("a",)))
    sweep(root)
    assert below(tmp_path) == ["elsewhere", "root", f"root/{STAGING_NAME}"]


@posix_only("permissions")
def test_folder_of_stages_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    around = tmp_path / STAGING_NAME
    around.mkdir()
    around.chmod(0o777)
    (around / "file").write_bytes(OLD)
    with pytest.raises(PermissionError):
        open_stage(TargetPath(tmp_path, ("a",)))
    assert below(around) == ["file"]


@pytest.mark.parametrize("failing", range(2, 6))
def test_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    folder = type(open_root(tmp_path))
    calls, make, create = 0, folder.make, folder.create

    def counted(do: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return do(*args)

        return call

    monkeypatch.setattr(folder, "make", counted(make))
    monkeypatch.setattr(folder, "create", counted(create))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        open_stage(TargetPath(tmp_path, ("a",)))
    assert not below(tmp_path)


def test_stages_share_their_folder(tmp_path: Path) -> None:
    with staged(tmp_path) as first:
        with staged(tmp_path) as second:
            write(tmp_path, first, OLD)
            write(tmp_path, second, replace=True)
            sweep(tmp_path)
        write(tmp_path, first, OLD, replace=True)
        assert (tmp_path / STAGING_NAME).exists()
    assert below(tmp_path) == ["a"]


@contextmanager
def process(root: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that has written half a file through a stage."""
    command = [sys.executable, str(SCRIPT), str(root), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            yield child
        finally:
            child.kill()


@in_another_process
@pytest.mark.fault(91)
@pytest.mark.parametrize("looks", [sweep, lambda root: open_stage(TargetPath(root, ("b",))).remove()])
@pytest.mark.parametrize("arguments", [[], ["publish"]])
def test_stage_of_a_killed_process_is_removed(
    tmp_path: Path, looks: Callable[[Path], None], arguments: list[str]
) -> None:
    with process(tmp_path, *arguments) as child:
        before = below(tmp_path)
        assert part_name("a.bin") in {Path(name).name for name in before} or arguments
        looks(tmp_path)
        assert below(tmp_path) == before, "it is alive"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert below(tmp_path) == before
    looks(tmp_path)
    assert below(tmp_path) == (["a.bin"] if arguments else [])


@in_another_process
def test_process_whose_stage_was_taken_for_dead_ends_well(tmp_path: Path) -> None:
    with process(tmp_path) as child:
        for path in sorted((tmp_path / STAGING_NAME).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(20) == 0
    assert not below(tmp_path)


def left(root: Path, *, host: str | None, age: float = 0.0, used: float | None = None) -> None:
    """Leave what a dead process on a machine would, that started and wrote so many seconds ago."""
    around = root / STAGING_NAME
    lane = around / "0123-0"
    lane.mkdir(parents=True)
    (lane / part_name("a.bin")).write_bytes(b"half")
    owner = around / part_name("0123")
    journal = parse_journal(encode_header(header_for(0, None, None)))
    assert journal is not None
    header = journal.header if host is None else attrs.evolve(journal.header, host=host)
    owner.write_bytes(encode_header(header))
    now = time.time()
    os.utime(owner, (now - age, now - age))
    since = age if used is None else used
    os.utime(lane, (now - since, now - since))


@pytest.mark.parametrize(
    ("host", "age", "used", "stays"),
    [
        (None, 0, None, False),
        ("elsewhere", 0, None, True),
        ("elsewhere", DAY, 0, True),
        ("elsewhere", DAY, DAY, False),
    ],
    ids=["this machine", "another machine", "another machine for days", "another machine, days ago"],
)
def test_stage_of_another_machine_stays_for_a_day(
    tmp_path: Path, host: str | None, age: float, used: float | None, *, stays: bool
) -> None:
    left(tmp_path, host=host, age=age or (60 if WINDOWS else 0), used=used)
    sweep(tmp_path)
    assert bool(below(tmp_path)) == stays


def test_foreign_content_stays(tmp_path: Path) -> None:
    """Only what a stage consists of is removed."""
    around = tmp_path / STAGING_NAME
    (around / "folder").mkdir(parents=True)
    (around / "folder" / "file").write_bytes(OLD)
    (around / "file").write_bytes(OLD)
    sweep(tmp_path)
    with staged(tmp_path) as stage:
        write(tmp_path, stage)
    assert below(around) == ["file", "folder", "folder/file"]


def test_name_is_ours() -> None:
    assert is_ours(STAGING_NAME)
    assert "unfinished downloads" in (reason_against(f"{STAGING_NAME}/a") or "")
    assert part_name(STAGING_NAME[1:]) != STAGING_NAME
