"""Inspecting many target paths together, on a fast disk and on one with latency."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from wbfiles_async import UnsafePathError, _waiting
from wbfiles_async._disk import inspection
from wbfiles_async._disk.folder import Folder
from wbfiles_async._disk.inspection import Found, inspect_many
from wbfiles_async._disk.paths import TargetPath, target_below

each_disk = pytest.mark.parametrize("is_slow", [False, True], ids=["a quick disk", "a disk with latency"])


@pytest.fixture
def looking_in(is_slow: bool, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads of an inspection; on a slow disk each inspection counts as one that waited."""
    threads = set[int]()

    def look_into(target: TargetPath, folder: Folder) -> Found:
        threads.add(threading.get_ident())
        return look(target, folder)

    look = inspection._look_into
    monkeypatch.setattr(inspection, "_look_into", look_into)
    if is_slow:
        monkeypatch.setattr(_waiting, "LONG_WAIT", -1.0)
        monkeypatch.setattr(_waiting, "_LOCK_WAIT", 1e9)
    return threads


@each_disk
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 49, 500])
def test_results_are_in_order(looking_in: set[int], is_slow: bool, tmp_path: Path, count: int) -> None:
    there = {number for number in range(count) if number % 3}
    (tmp_path / "a").mkdir()
    for number in there:
        (tmp_path / "a" / str(number)).write_bytes(bytes(number))
    found = inspect_many([target_below(tmp_path, f"a/{number}") for number in range(count)])
    assert [look.status.st_size if look.status else None for look in found] == [
        number if number in there else None for number in range(count)
    ]
    others = looking_in - {threading.get_ident()}
    assert bool(others) == (is_slow and count > 32)


@each_disk
def test_obstacles_are_reported_at_any_depth(looking_in: set[int], is_slow: bool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    os.mkfifo(tmp_path / "pipe")
    names = [f"{number}" for number in range(98)] + ["link/a", "pipe"]
    *free, link, pipe = inspect_many([target_below(tmp_path, name) for name in names])
    assert free == [Found()] * 98
    assert isinstance(link.error, UnsafePathError)
    assert pipe.taken
    assert pipe.error is not None
