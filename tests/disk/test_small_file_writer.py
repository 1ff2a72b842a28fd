"""Writing small files: many at once into one folder on a disk with latency."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
from systems import SYSTEM

from wbfiles_async import DestinationExistsError, LocalWriteError
from wbfiles_async._disk import small_file_writer
from wbfiles_async._disk.names import STAGING_NAME
from wbfiles_async._disk.part_file import write_whole
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._disk.small_file_writer import CROWDED, SmallFileWriter
from wbfiles_async._disk.staging import Stage

pytestmark = pytest.mark.skipif(SYSTEM != "linux", reason="files are staged on Linux only")

THREADS = 4 * CROWDED
OLD, NEW = b"what was there before", b"new"
MODE = 0o644


@attrs.define(eq=False)
class Writes:
    """Writes files at the same time: each waits for the others before it does anything.

    Attributes:
        stages: The stage of each file; ``None`` for a temporary sibling.
        before: Called once all of them wait.
    """

    count: int
    before: Callable[[], None] = lambda: None
    stages: list[Stage | None] = attrs.field(factory=list)
    _together: threading.Barrier = attrs.field(init=False)
    _waited: threading.local = attrs.field(factory=threading.local, init=False)

    def __attrs_post_init__(self) -> None:
        self._together = threading.Barrier(self.count, action=self.before, timeout=20)

    def __call__(self, target: TargetPath, *arguments: object, stage: Stage | None = None, **options: object) -> object:
        if getattr(self._waited, "target", None) is not target:  # not if it is tried again
            self._waited.target = target
            self._together.wait()
        self.stages.append(stage)
        return write_whole(target, *arguments, stage=stage, **options)  # type: ignore[arg-type]


def write_together(root: Path, writes: Writes, monkeypatch: pytest.MonkeyPatch, **options: bool) -> None:
    """Write files, and raise the error of the first that fails."""
    monkeypatch.setattr(small_file_writer, "write_whole", writes)
    small_files = SmallFileWriter()
    given = {"replace": True, "durable": False} | options

    def write(number: int) -> None:
        small_files.write(TargetPath(root, ("in", str(number))), [NEW], mode=MODE, **given)

    with ThreadPoolExecutor(writes.count) as threads:
        list(threads.map(write, range(writes.count)))


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def expected(count: int) -> dict[str, bytes]:
    return {f"in/{number}": NEW for number in range(count)}


def test_crowd_uses_one_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_together(tmp_path, writes := Writes(THREADS), monkeypatch)
    assert writes.stages.count(None) < CROWDED, "those that came before it was one"
    assert len({*writes.stages} - {None}) == 1
    assert contents(tmp_path) == expected(THREADS)
    assert not (tmp_path / "in" / STAGING_NAME).exists()


def test_few_writers_use_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_together(tmp_path, writes := Writes(CROWDED - 1), monkeypatch)
    assert {*writes.stages} == {None}
    assert contents(tmp_path) == expected(CROWDED - 1)


def test_durable_files_are_siblings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_together(tmp_path, writes := Writes(THREADS), monkeypatch, durable=True)
    assert {*writes.stages} == {None}
    assert contents(tmp_path) == expected(THREADS)


def test_writers_in_different_folders_are_no_crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_file_writer, "write_whole", writes := Writes(THREADS))
    small_files = SmallFileWriter()

    def write(number: int) -> None:
        target = TargetPath(tmp_path, (str(number), "a"))
        small_files.write(target, [NEW], mode=MODE, replace=True, durable=False)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(write, range(THREADS)))
    assert {*writes.stages} == {None}


@pytest.mark.parametrize("replace", [False, True])
def test_existing_files_are_kept_or_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replace: bool) -> None:
    (tmp_path / "in").mkdir()
    for number in range(THREADS):
        (tmp_path / "in" / str(number)).write_bytes(OLD)
    if replace:
        write_together(tmp_path, Writes(THREADS), monkeypatch, replace=True)
    else:
        with pytest.raises(DestinationExistsError):
            write_together(tmp_path, Writes(THREADS), monkeypatch, replace=False)
    assert contents(tmp_path) == dict.fromkeys(expected(THREADS), NEW if replace else OLD)


def test_removed_stage_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Writes(THREADS, before=lambda: shutil.rmtree(tmp_path / "in" / STAGING_NAME))
    write_together(tmp_path, writes, monkeypatch)
    assert {*writes.stages} > {None}
    assert contents(tmp_path) == expected(THREADS)
    assert not (tmp_path / "in" / STAGING_NAME).exists()


def test_without_a_stage_files_are_siblings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[TargetPath]()

    def refuse(target: TargetPath) -> Stage:
        tried.append(target)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(small_file_writer, "open_stage", refuse)
    write_together(tmp_path, writes := Writes(THREADS), monkeypatch)
    assert {*writes.stages} == {None}
    assert len(tried) == 1
    assert contents(tmp_path) == expected(THREADS)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_has_its_usual_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir(mode=0o500)
    with pytest.raises(LocalWriteError, match="you may not write there"):
        write_together(tmp_path, Writes(THREADS), monkeypatch)


def test_full_disk_has_its_usual_error_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writes = Writes(THREADS, before=lambda: monkeypatch.setattr(os, "pwrite", refuse))
    with pytest.raises(LocalWriteError, match="the disk is full"):
        write_together(tmp_path, writes, monkeypatch)
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


def test_other_file_system_in_the_folder_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was swapped for one on another disk after its stage was created."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    replace = os.replace

    def replaced(old: str, new: str, **folders: int) -> None:
        if folders["src_dir_fd"] != folders["dst_dir_fd"]:
            refuse()
        replace(old, new, **folders)

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", replaced)
    write_together(tmp_path, writes := Writes(THREADS), monkeypatch)
    assert {*writes.stages} > {None}
    assert contents(tmp_path) == expected(THREADS)
    assert not (tmp_path / "in" / STAGING_NAME).exists()


def test_left_link_of_a_published_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk may have linked a file although it reports that the name exists."""
    link = os.link

    def report_twice(*names: str, **options: int) -> None:
        link(*names, **options)  # type: ignore[arg-type]
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", report_twice)
    write_together(tmp_path, Writes(THREADS), monkeypatch)
    assert contents(tmp_path) == expected(THREADS)
    assert not (tmp_path / "in" / STAGING_NAME).exists()
