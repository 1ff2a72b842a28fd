"""Publishing files with portable calls only: the differences from POSIX."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from systems import SYSTEM

from wbfiles_async._disk import locks, portable, resume
from wbfiles_async._disk.errors import local_failure
from wbfiles_async._disk.folder import Folder, OpenFile, is_link, is_own
from wbfiles_async._disk.long_paths import extended_path
from wbfiles_async._disk.names import local_parts, reason_on_windows
from wbfiles_async._disk.portable import PortableFolder
from wbfiles_async._disk.system import open_root
from wbfiles_async.errors import UnsafePathError

OLD, NEW = b"what was there before", b"new"


def held(number: int = 32) -> PermissionError:
    """Return the error of Windows for a file that another program has open."""
    error = PermissionError(errno.EACCES, "in use")
    error.winerror = number  # type: ignore[attr-defined,unused-ignore]
    return error


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, which end at once."""
    waited: list[float] = []
    monkeypatch.setattr(portable, "sleep", waited.append)
    return waited


def refusing(monkeypatch: pytest.MonkeyPatch, call: str, errors: list[OSError]) -> None:
    real: Callable[[str, str], None] = getattr(os, call)

    def refuse(source: str, target: str) -> None:
        if errors:
            raise errors.pop(0)
        real(source, target)

    monkeypatch.setattr(os, call, refuse)


def written(root: Path, data: bytes = NEW) -> OpenFile:
    file = PortableFolder.at(root).create("temporary")
    assert file.write(data, 0) == len(data)
    return file


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.mark.fault(88, 126)
@pytest.mark.parametrize("number", [5, 32, 33])
@pytest.mark.parametrize(("call", "replace"), [("replace", True), ("rename", False)])
def test_file_held_by_a_scanner_is_published_once_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float], call: str, replace: bool, number: int
) -> None:
    file = written(tmp_path)
    refusing(monkeypatch, call, [held(number) for _ in range(3)])
    file.publish("a", mode=0o644, replace=replace, durable=True)
    assert content(tmp_path) == {"a": NEW}
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


@pytest.mark.fault(88, 126)
def test_file_held_open_is_an_error_and_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    (tmp_path / "a").write_bytes(OLD)
    file = written(tmp_path)
    refusing(monkeypatch, "replace", [held() for _ in range(100)])
    with pytest.raises(PermissionError):
        file.publish("a", mode=0o644, replace=True, durable=False)
    file.remove()
    assert content(tmp_path) == {"a": OLD}
    assert 2 <= sum(pauses) <= 10


@pytest.mark.fault(126)
def test_permanent_refusal_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    (tmp_path / "a").write_bytes(OLD)
    (tmp_path / "a").chmod(0o444)
    file = written(tmp_path)
    with pytest.raises(PermissionError, match="read-only"):
        file.publish("a", mode=0o644, replace=True, durable=False)
    refusing(monkeypatch, "replace", [PermissionError(errno.EACCES, "no rights")])
    (tmp_path / "a").chmod(0o644)
    with pytest.raises(PermissionError, match="no rights"):
        file.publish("a", mode=0o644, replace=True, durable=False)
    assert pauses == []
    file.remove()


@pytest.mark.parametrize(
    ("number", "advice"),
    [(32, "another program has the file open; close"), (5, "close the program that has"), (0, "you may not write")],
)
def test_error_suggests_another_program_holds_the_file(number: int, advice: str) -> None:
    assert advice in str(local_failure(held(number), Path("a")))


@pytest.mark.fault(97)
def test_temporary_file_open_elsewhere_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    file, refusals, real = written(tmp_path), [held(), held()], os.unlink

    def refuse(path: str) -> None:
        if refusals:
            raise refusals.pop()
        real(path)

    monkeypatch.setattr(os, "unlink", refuse)
    file.remove()
    assert content(tmp_path) == {}
    assert 0 < sum(pauses) < 0.05


@pytest.mark.fault(86)
def test_nothing_is_replaced_without_replace(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    file = written(tmp_path)
    with pytest.raises(FileExistsError):
        file.publish("a", mode=0o644, replace=False, durable=False)
    file.remove()
    assert content(tmp_path) == {"a": OLD}


@pytest.mark.fault(86)
def test_windows_rename_keeps_a_target_that_just_appeared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)

    def rename(source: str, target: str) -> None:
        Path(target).write_bytes(OLD)
        raise FileExistsError(errno.EEXIST, "it exists", source, 183, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(FileExistsError):
        file.publish("a", mode=0o644, replace=False, durable=False)
    file.remove()
    assert content(tmp_path) == {"a": OLD}


@pytest.mark.fault(107, 108)
@pytest.mark.parametrize("moment", ["before it is opened", "before it is published"])
def test_link_in_the_path_is_refused(tmp_path: Path, moment: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    if moment == "before it is opened":
        (root / "folder").symlink_to(outside)
        with pytest.raises(OSError) as caught:
            PortableFolder.at(root).enter("folder", create=True)
    else:
        folder = PortableFolder.at(root).enter("folder", create=True)
        file = folder.create("temporary")
        (root / "folder").rename(root / "moved")
        (root / "folder").symlink_to(outside)
        with pytest.raises(OSError) as caught:
            file.publish("a", mode=0o644, replace=True, durable=False)
        with pytest.raises(OSError):
            folder.create("another")
    assert caught.value.errno == errno.ELOOP
    assert list(outside.iterdir()) == []


def test_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert PortableFolder.at(tmp_path / "link").some_names(10) == ["link"]


@pytest.mark.parametrize("name", ["link", "queue", "folder", "missing"])
def test_only_a_regular_file_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "queue")
    with pytest.raises(OSError):
        PortableFolder.at(tmp_path).open(name)
    file = PortableFolder.at(tmp_path).open("file")
    assert file.read(100, 5) == OLD[5:]
    file.close()


def test_file_swapped_during_open_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "other").write_bytes(b"secret")
    real = os.open

    def swap(path: str, flags: int, mode: int = 0o777) -> int:
        (tmp_path / "file").unlink()
        (tmp_path / "file").symlink_to("other")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(OSError) as caught:
        PortableFolder.at(tmp_path).open("file")
    assert caught.value.errno == errno.ELOOP


def test_threads_read_and_write_at_their_own_offsets(tmp_path: Path) -> None:
    file, size, rounds = PortableFolder.at(tmp_path).create("a"), 1000, 50
    wrong: list[int] = []

    def work(number: int) -> None:
        buffer = memoryview(bytearray(size))
        for n in range(number, 8 * rounds, 8):
            data = n.to_bytes(2, "big") * (size // 2)
            file.write(data, n * size)
            if file.read_into(buffer, n * size) != size or buffer != data or file.read(size, n * size) != data:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert wrong == []
    assert (tmp_path / "a").read_bytes() == b"".join(n.to_bytes(2, "big") * (size // 2) for n in range(8 * rounds))


def test_finished_file_may_be_closed_before_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows cannot rename an open file, so a closed one must not count as abandoned at once."""
    (tmp_path / ".a.wbfiles-part").write_bytes(NEW)
    folder = open_root(tmp_path)
    monkeypatch.setattr(resume, "CLOSED_SECONDS", 10.0)
    opened = resume.open_temporary("a", folder, size=None, md5=None)
    opened.file.remove()
    assert content(tmp_path) == {".a.wbfiles-part": NEW}
    monkeypatch.setattr(resume, "CLOSED_SECONDS", 0.0)
    opened = resume.open_temporary("a", folder, size=None, md5=None)
    assert opened.name == ".a.wbfiles-part"
    opened.file.remove()
    folder.close()
    assert content(tmp_path) == {}


@pytest.mark.fault(91, 97)
def test_file_published_during_open_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".a.wbfiles-part"
    left.write_bytes(NEW)
    folder = open_root(tmp_path)
    real: Callable[[OpenFile], bool] = type(file := folder.open(left.name)).claim
    file.close()

    def publish_first(file: OpenFile) -> bool:
        left.rename(tmp_path / "a")
        left.write_bytes(b"another one's")
        return real(file)

    monkeypatch.setattr(type(file), "claim", publish_first)
    opened = resume.open_temporary("a", folder, size=None, md5=None)
    assert opened.name != left.name
    opened.file.remove()
    folder.close()
    assert content(tmp_path) == {"a": NEW, left.name: b"another one's"}


def test_open_new_file_cannot_be_claimed(tmp_path: Path) -> None:
    folder = open_root(tmp_path)
    file = folder.create("a")
    other = folder.open("a")
    assert not other.claim()
    file.close()
    assert other.claim()
    other.close()
    folder.close()


@pytest.mark.skipif(SYSTEM == "linux", reason="Linux's leases need no lock")
def test_new_file_is_held_once_another_download_has_checked_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its creation and its lock, another download may claim it to see whether it is a leftover."""
    folder, hold = PortableFolder.at(tmp_path), locks.hold
    checking: list[OpenFile] = []

    def check_before(file: int) -> None:
        if not checking:
            checking.append(folder.open("a"))
            assert checking[0].claim()
        hold(file)

    monkeypatch.setattr(portable, "hold", check_before)
    monkeypatch.setattr(portable, "sleep", lambda _: checking[0].close())
    file = folder.create("a")
    other = folder.open("a")
    assert not other.claim()
    other.close()
    file.remove()
    assert content(tmp_path) == {}


@pytest.mark.skipif(SYSTEM == "linux", reason="Linux's leases need no lock")
def test_file_system_without_locks_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "_lock", refuse)
    folder = open_root(tmp_path)
    file = folder.create("a")
    assert not file.claim()
    file.close()
    folder.close()


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        ("C:\\folder\\file", "\\\\?\\C:\\folder\\file"),
        ("\\\\server\\share\\file", "\\\\?\\UNC\\server\\share\\file"),
        ("\\\\?\\C:\\folder", "\\\\?\\C:\\folder"),
        ("\\\\?\\UNC\\server\\share", "\\\\?\\UNC\\server\\share"),
        ("\\\\.\\pipe\\x", "\\\\.\\pipe\\x"),
    ],
)
def test_long_paths_of_windows(path: str, extended: str) -> None:
    assert extended_path(path) == extended
    assert extended_path(extended) == extended


def status(mode: int, **fields: int) -> os.stat_result:
    return cast("os.stat_result", SimpleNamespace(st_mode=mode, **fields))


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (status(stat.S_IFLNK | 0o777, st_reparse_tag=0xA000000C), True),
        (status(stat.S_IFDIR | 0o777, st_reparse_tag=0xA0000003), True),  # a junction
        (status(stat.S_IFREG | 0o666, st_reparse_tag=0x9000001A), False),  # a file that OneDrive keeps
        (status(stat.S_IFREG | 0o666, st_reparse_tag=0), False),
        (status(stat.S_IFLNK | 0o777), True),
        (status(stat.S_IFDIR | 0o777), False),
    ],
)
def test_links_and_junctions_are_recognised(found: os.stat_result, answer: bool) -> None:
    assert is_link(found) is answer


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users with numbers")
def test_own_files_are_recognised() -> None:
    mine = os.geteuid()
    assert is_own(status(stat.S_IFREG | 0o600, st_nlink=1, st_uid=mine))
    assert not is_own(status(stat.S_IFREG | 0o600, st_nlink=2, st_uid=mine))
    assert not is_own(status(stat.S_IFIFO | 0o600, st_nlink=1, st_uid=mine))
    assert is_own(status(stat.S_IFREG | 0o600, st_nlink=1, st_uid=mine + 1)) is (SYSTEM == "win32")
    assert is_own(status(stat.S_IFREG | 0o666, st_nlink=1, st_uid=mine)) is (SYSTEM == "win32")


@pytest.mark.fault(106, 116)
@pytest.mark.parametrize("name", ["PROGRA~1", "longna~1.txt", "WBFILE~1", "a~12345", "AB12CD~1.json"[:12]])
def test_windows_short_name_may_be_another_file(name: str) -> None:
    assert "short name" in str(reason_on_windows(name))
    with pytest.raises(UnsafePathError, match="short name"):
        local_parts(f"media/{name}", portable=True)
    assert local_parts(f"media/{name}") == ("media", name)


@pytest.mark.parametrize("name", ["~", "a~", "~1", "backup~old", "a~1.json", "longername~1.txt", "a.b~1"])
def test_other_tilde_names_are_no_short_names(name: str) -> None:
    assert reason_on_windows(name) is None


@pytest.mark.parametrize("opened", [PortableFolder.at, open_root])
def test_only_files_and_empty_folders_are_removed(tmp_path: Path, opened: Callable[[Path], Folder]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full/a").write_bytes(OLD)
    (tmp_path / "b").write_bytes(OLD)
    folder = opened(tmp_path)
    folder.remove("b")
    folder.remove_folder("empty")
    refused: list[Callable[[], None]] = [
        lambda: folder.remove("full"),
        lambda: folder.remove_folder("full"),
        lambda: folder.remove("b"),
    ]
    for each in refused:
        with pytest.raises(OSError):  # each system has its own
            each()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "full"]
    folder.close()
