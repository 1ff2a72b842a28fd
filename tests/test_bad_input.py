"""Bad input raises its own error, with a message that says what to do, and keeps the old file."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Stored,
    client,
    error_of,
    remote,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits
from systems import WINDOWS, WRITE, posix_only

from wbfiles_async import (
    AsyncApi,
    AsyncFile,
    AuthenticationError,
    ConfigurationError,
    LocalWriteError,
    RemoteFileNotFoundError,
    RunNotFoundError,
    UnsafePathError,
    UnsupportedReferenceError,
    WBFilesError,
)
from wbfiles_async._disk.names import reason_on_windows
from wbfiles_async.testing import LocalServer

pytestmark = pytest.mark.usefixtures("waits")

MIB = 1 << 20
SMALL = b"small" * 1000
LARGE = bytes(range(256)) * 4096 * 2 + b"the end"
each_size = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])


def small_parts(server: ScriptedServer) -> AsyncApi:
    return client(server, part_size=MIB // 2)


# Against a server that reports missing objects


@pytest.mark.fault(68)
async def test_unknown_run_project_or_file_is_named(wandb_server: LocalServer) -> None:
    wandb_server.add_file(RUN, "a.txt", b"data")
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        for path in ("team/project/nope", "team/nope/run1", "nope/project/run1"):
            run = api.run(path)
            for work in (run.file("a.txt"), run.files().to_list(), run.files().count(), run.download("x")):
                error = await error_of(RunNotFoundError, work)
                assert error.run == path
                assert path in str(error)
        missing = await error_of(RemoteFileNotFoundError, api.run(RUN).file("A.txt"))
    assert (missing.name, missing.run) == ("A.txt", RUN)
    assert "'A.txt'" in str(missing)


@pytest.mark.fault(73)
async def test_unknown_key_is_one_request_and_names_its_source(
    wandb_server: LocalServer,
) -> None:
    async with AsyncApi(base_url=wandb_server.base_url, api_key="wrong" * 8) as api:
        error = await error_of(AuthenticationError, api.run(RUN).file("a.txt"))
    assert "wrong" not in str(error)
    assert "api_key" in str(error)
    assert len(wandb_server.requests) == 1


async def test_unknown_attribute_error_lists_the_known_ones(server: ScriptedServer) -> None:
    async with client(server) as api:
        with pytest.raises(ConfigurationError, match=r"size_bytes|sizeBytes"):
            api.run(RUN).files(match={"size": 4})
        await error_of(ConfigurationError, api.run(RUN).find({"colour": "red"}))
    assert server.requests == []


@pytest.mark.parametrize("path", ["", "/", "a/b/c/d", "https://elsewhere.example/t/p/runs/r", "a/../b", "a//b", "\0"])
async def test_malformed_path_lists_the_accepted_forms(server: ScriptedServer, path: str) -> None:
    async with client(server) as api:
        with pytest.raises(ConfigurationError, match="entity/project/run_id") as caught:
            api.run(path)
    assert isinstance(caught.value, ValueError)
    assert server.requests == []


async def test_invalid_selection_is_refused(server: ScriptedServer) -> None:
    async with client(server) as api:
        run = api.run(RUN)
        with pytest.raises(ConfigurationError, match="names or by a pattern"):
            run.files(names=["a"], pattern="%")
        with pytest.raises(ConfigurationError, match="list of names"):
            run.files(names="a.txt")
        with pytest.raises(ConfigurationError, match="per_page"):
            run.files(per_page=0)


async def test_file_without_client_or_run_names_what_is_missing(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", SMALL)
    async with client(server) as api:
        assert await AsyncFile(api, node).read_bytes() == SMALL
        await error_of(ConfigurationError, AsyncFile(api, node).delete())
        await error_of(ConfigurationError, AsyncFile(api, node).refresh())
        error = await error_of(ConfigurationError, AsyncFile(None, node).fetch(tmp_path))  # no client
        assert "api=" in str(error)
        error = await error_of(ConfigurationError, AsyncFile(api, {"sizeBytes": 4}).fetch(tmp_path))
        assert "without a name" in str(error)


async def test_closed_client_raises_a_clear_error(server: ScriptedServer, tmp_path: Path) -> None:
    node = server.put("a.txt", SMALL)
    async with client(server) as api:
        file = remote(api, node)
        await file.read_bytes()
    await api.aclose()
    error = await error_of(ConfigurationError, file.fetch(tmp_path))
    assert "closed" in str(error)


@pytest.mark.parametrize("gate_at", [None, 10], ids=["before the response", "within it"])
async def test_client_closed_while_listing_raises_a_clear_error(
    server: ScriptedServer, waits: list[float], gate_at: int | None
) -> None:
    gated = Answer(gate=asyncio.Event(), gate_at=gate_at, body=b'{"data": {"project": null}}')
    server.on("/graphql", gated)
    async with small_parts(server) as api, asyncio.timeout(10):
        task = asyncio.create_task(api.run(RUN).files().to_list())
        while not server.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for _ in range(50):
            await asyncio.sleep(0)
        await api.aclose()
        error = await error_of(ConfigurationError, task)
    assert "closed" in str(error)


@pytest.mark.fault(99)
def test_client_of_another_event_loop_raises_a_clear_error() -> None:
    async def first() -> AsyncApi:
        async with ScriptedServer() as server:
            api = client(server)
            await remote(api, server.put("a", SMALL)).read_bytes()
            await api.aclose()
            second = client(server)
            await remote(second, server.put("a", SMALL)).read_bytes()
            await second._gateway.session().aclose()
            return second

    api = asyncio.run(first())
    with pytest.raises(ConfigurationError, match="event loop"):
        asyncio.run(api.run(RUN).file("a"))


@pytest.mark.fault(65, 87)
async def test_reference_names_its_location_and_keeps_the_old_file(server: ScriptedServer, tmp_path: Path) -> None:
    uri = "s3://bucket/key?versionId=1"
    node = server.put("model.bin", SMALL, url=uri, directUrl=uri)
    (tmp_path / "model.bin").write_bytes(b"old")
    async with client(server) as api:
        error = await error_of(UnsupportedReferenceError, remote(api, node).fetch(tmp_path, replace=True))
    assert error.uri == "s3://bucket/key"
    assert isinstance(error, ValueError)
    assert (tmp_path / "model.bin").read_bytes() == b"old"
    assert server.requests == []


async def test_reference_to_an_http_url_is_fetched(server: ScriptedServer, tmp_path: Path) -> None:
    url = f"{server.base_url}/store/a"
    node = server.put("a", SMALL, url=url, directUrl=url)
    async with client(server) as api:
        assert (await remote(api, node).fetch(tmp_path)).read_bytes() == SMALL


# Names

UNSAFE = [
    *("../a", "a/../../b", "/etc/passwd", "//host/share", ".", "..", "a//b", "a/"),
    *("a\0b", "a\nb", "\x1b[2J", "a\u202eb", "a\u200bb"),
    *("x" * 256, "/".join(["x" * 200] * 20), ".a.0123.wbfiles-part"),
]
LITERAL = [
    *("~", "~root", "-rf", "$HOME", "&;`", "%2e%2e", "%2e%2e%2fa", "．．"),
    *("a b", "..a", "...a", "ü", "日本/語.txt"),
    *("C:\\a", "C:a", "a/C:\\x", "\\\\host\\share", "a\\b", "a:b", "<", "a|b", "a?b", "a*", '"'),
    *("CON", "nul.txt", "a/aux/b", "COM1", "a.", "a ", "a./b", "a.."),
]


@pytest.mark.fault(106)
@pytest.mark.parametrize("name", UNSAFE)
async def test_unsafe_name_is_refused_before_any_request(server: ScriptedServer, tmp_path: Path, name: str) -> None:
    node = server.put("a", SMALL) | {"name": name}
    root = tmp_path / "root"
    async with client(server) as api:
        error = await error_of(UnsafePathError, remote(api, node).fetch(root, replace=True))
    assert error.name == name
    assert isinstance(error, ValueError)
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(106)
@pytest.mark.parametrize("name", LITERAL)
async def test_odd_but_safe_name_is_used_literally(server: ScriptedServer, tmp_path: Path, name: str) -> None:
    node = server.put("a", SMALL) | {"name": name}
    async with client(server) as api:
        if WINDOWS and any(map(reason_on_windows, name.split("/"))):
            await error_of(UnsafePathError, remote(api, node).fetch(tmp_path))
            assert list(tmp_path.iterdir()) == []
            return
        path = await remote(api, node).fetch(tmp_path)
    assert path.relative_to(tmp_path).as_posix() == name
    assert path.read_bytes() == SMALL


@pytest.mark.fault(106)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*"ab./\\:~%\0\u202e．", "..", "con", "x" * 130]), min_size=1, max_size=6).map("".join))
@example("a/../b")
def test_any_name_is_refused_or_written_below_the_root(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    async def check(above: Path) -> None:
        root = above / "root"
        async with ScriptedServer() as server, client(server) as api:
            node = server.put("a", b"data") | {"name": name}
            with suppress(UnsafePathError):
                path = await remote(api, node).fetch(root)
                assert path.read_bytes() == b"data"
        assert set(above.iterdir()) <= {root}
        assert [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()] in ([], [name])

    asyncio.run(check(tmp_path_factory.mktemp("names")))


# Links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"theirs")
    return folder


@pytest.mark.fault(107)
@each_size
async def test_link_below_the_root_is_never_followed(
    server: ScriptedServer, tmp_path: Path, outside: Path, data: bytes
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "leaf").symlink_to(outside / "a.txt")
    (root / "dangling").symlink_to(outside / "new.txt")
    (root / "loop").symlink_to(root / "loop")
    (root / "dangling folder").symlink_to(outside / "new folder")
    (root / "inside").symlink_to(root)
    node = server.put("a", data)
    names = ("folder/a.txt", "folder/b.txt", "leaf", "dangling", "loop", "loop/a", "dangling folder/a", "inside/a")
    async with small_parts(server) as api:
        for name in names:
            for replace in (False, True):
                error = await error_of(UnsafePathError, remote(api, node | {"name": name}).fetch(root, replace=replace))
                assert "symbolic link" in str(error)
                assert error.name == name
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("a.txt", b"theirs")]
    assert server.requests == []


async def test_root_that_is_a_link_itself_is_fine(server: ScriptedServer, tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root").symlink_to(outside)
    node = server.put("b.txt", SMALL)
    async with client(server) as api:
        await remote(api, node).fetch(tmp_path / "root")
    assert (outside / "b.txt").read_bytes() == SMALL


@pytest.mark.fault(108)
@each_size
async def test_folder_replaced_by_a_link_is_never_followed(
    server: ScriptedServer, tmp_path: Path, outside: Path, data: bytes
) -> None:
    gate = asyncio.Event()
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    node = server.put("folder/a.txt", data, Stored(data).but(gate=gate))
    async with small_parts(server) as api:
        task = asyncio.create_task(remote(api, node).fetch(root))
        while not server.busy:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        (root / "folder").rename(root / "moved")
        (root / "folder").symlink_to(outside)
        gate.set()
        with suppress(WBFilesError):
            await task
    assert (outside / "a.txt").read_bytes() == b"theirs"
    assert WINDOWS or not temporaries(tmp_path)  # which cannot move a folder with an open file


# The disk


@pytest.mark.fault(85)
@each_size
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
async def test_special_files_are_never_replaced(
    server: ScriptedServer, tmp_path: Path, make: Callable[[Path], None], data: bytes
) -> None:
    make(tmp_path / "a")
    before = (tmp_path / "a").lstat()
    node = server.put("a", data)
    async with small_parts(server) as api, asyncio.timeout(5):
        error = await error_of(LocalWriteError, remote(api, node).fetch(tmp_path, replace=True))
    assert error.path == tmp_path / "a"
    assert error.errno in (errno.EISDIR, errno.EEXIST)
    assert (tmp_path / "a").lstat().st_ino == before.st_ino
    assert server.requests == []


@pytest.mark.fault(85)
@each_size
async def test_file_instead_of_a_folder_is_reported(server: ScriptedServer, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "folder").write_bytes(b"a file")
    node = server.put("folder/a", data)
    async with small_parts(server) as api:
        error = await error_of(LocalWriteError, remote(api, node).fetch(tmp_path))
    assert error.errno == errno.ENOTDIR
    assert "folder" in str(error)
    assert (tmp_path / "folder").read_bytes() == b"a file"
    assert server.requests == []


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system; skips if that is not allowed."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mount{len(mounted)}"
        folder.mkdir()
        try:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
            )
        except FileNotFoundError:
            pytest.skip("needs the mount command")
        if done.returncode:
            pytest.skip(f"needs the right to mount: {done.stderr.decode().strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.fault(78, 87)
async def test_full_disk_is_reported_and_keeps_the_old_file(
    server: ScriptedServer, mount: Callable[[str], Path], waits: list[float]
) -> None:
    disk = mount("size=64k")
    (disk / "a").write_bytes(b"old")
    node = server.put("a", SMALL * 40)
    async with client(server) as api:
        error = await error_of(LocalWriteError, remote(api, node).fetch(disk, replace=True))
    assert error.errno == errno.ENOSPC
    assert "full" in str(error)
    assert [(path.name, path.read_bytes()) for path in disk.iterdir()] == [("a", b"old")]
    assert len(server.requests) <= 1
    assert waits == []


@pytest.mark.fault(90)
async def test_insufficient_space_for_a_large_file_is_reported_before_any_request(
    server: ScriptedServer, mount: Callable[[str], Path]
) -> None:
    disk = mount("size=64k")
    node = server.put("a", LARGE)
    async with small_parts(server) as api:
        error = await error_of(LocalWriteError, remote(api, node).fetch(disk))
    assert error.errno == errno.ENOSPC
    assert list(disk.iterdir()) == []
    assert server.requests == []


@pytest.mark.fault(79)
async def test_missing_inodes_are_reported(server: ScriptedServer, mount: Callable[[str], Path]) -> None:
    disk = mount("nr_inodes=2")
    (disk / "one").write_bytes(b"")
    node = server.put("a", SMALL)
    async with client(server) as api:
        error = await error_of(LocalWriteError, remote(api, node).fetch(disk))
    assert error.errno == errno.ENOSPC
    assert [path.name for path in disk.iterdir()] == ["one"]


@posix_only("it is noticed at the first file")
@pytest.mark.fault(84)
@each_size
@pytest.mark.parametrize("below", ["", "new/folder"])
async def test_read_only_disk_is_reported_before_any_request(
    server: ScriptedServer, mount: Callable[[str], Path], data: bytes, below: str
) -> None:
    disk = mount("ro")
    node = server.put("a", data)
    async with small_parts(server) as api:
        error = await error_of(LocalWriteError, remote(api, node).fetch(disk / below))
    assert error.errno == errno.EROFS
    assert "read-only" in str(error)
    assert server.requests == []


@pytest.mark.fault(84)
async def test_unwritable_folder_is_reported_before_any_request(server: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    node = server.put("a", SMALL)
    async with client(server) as api:
        for root in (folder, folder / "below"):
            error = await error_of(LocalWriteError, remote(api, node).fetch(root))
            assert error.errno == errno.EACCES
            assert "permissions" in str(error)
    assert server.requests == []


REFUSALS = {
    "full": errno.ENOSPC,
    "over quota": errno.EDQUOT,
    "broken": errno.EIO,
    "too large": errno.EFBIG,
}


@pytest.mark.fault(78, 80, 82, 87, 88)
@pytest.mark.parametrize("number", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize(
    ("data", "operation", "nth"),
    [
        *((data, operation, 1) for data in (SMALL, LARGE) for operation in ("fsync", "replace")),
        (SMALL, WRITE, 1),
        (LARGE, WRITE, 2),  # the first one writes the journal for resuming
        (LARGE, WRITE, 3),
    ],
    ids=lambda value: len(value) if isinstance(value, bytes) else value,
)
async def test_disk_error_midway_leaves_only_the_old_file(
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
    data: bytes,
    operation: str,
    nth: int,
    number: int,
) -> None:
    original: Callable[..., object] = getattr(os, operation)
    calls = 0

    def refuse(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(number, os.strerror(number))
        return original(*args, **kwargs)

    node = server.put("a", data)
    (tmp_path / "a").write_bytes(b"old")
    async with client(server, part_size=MIB // 2, durable=True) as api:
        monkeypatch.setattr(os, operation, refuse)
        error = await error_of(LocalWriteError, remote(api, node).fetch(tmp_path, replace=True))
        monkeypatch.undo()
        assert error.errno == number
        assert error.path == tmp_path / "a"
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
        assert len(server.requests) <= 5
        assert waits == []
        await remote(api, node).fetch(tmp_path, replace=True)
    assert (tmp_path / "a").read_bytes() == data


@pytest.mark.fault(80)
@pytest.mark.skipif(sys.platform == "win32", reason="needs the limit on the size of files")
def test_process_survives_its_file_size_limit(tmp_path: Path) -> None:
    script = f"""
import asyncio, resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from scripted_server import ScriptedServer, client, remote
from wbfiles_async import LocalWriteError
async def main():
    async with ScriptedServer() as server, client(server) as api:
        node = server.put("a", bytes(3 << 20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            await remote(api, node).fetch({str(tmp_path)!r})
        except LocalWriteError as error:
            print(error.errno)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == str(errno.EFBIG), done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_refused_name_does_not_wait_for_a_response(server: ScriptedServer, tmp_path: Path) -> None:
    """Checks that need no network come first."""
    node = server.put("../a", SMALL, Answer(gate=asyncio.Event()))
    async with client(server) as api, asyncio.timeout(2):
        await error_of(UnsafePathError, remote(api, node).fetch(tmp_path))
