"""Unusual machines: optional facilities cannot stop the work, and missing requirements raise a clear error."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

import pytest
from scripted_server import RUN, ScriptedServer, client, error_of, remote
from scripted_server import server as server
from scripted_server import waits as waits
from systems import before_each_write, posix_only

from wbfiles_async import Api, LocalWriteError, TransferError, UnsafePathError
from wbfiles_async._disk.executor import Disk
from wbfiles_async._disk.journal import parse_journal
from wbfiles_async._disk.part_file import PartFile, default_mode
from wbfiles_async._disk.paths import TargetPath
from wbfiles_async._ranges import Range
from wbfiles_async.testing import LocalServer

pytestmark = pytest.mark.usefixtures("waits")

MIB = 1 << 20
SMALL = b"small" * 1000
LARGE = bytes(range(256)) * 4096 * 2 + b"the end"
each_size = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in memory", "in parts"])


@pytest.mark.fault(118)
@pytest.mark.skipif(sys.platform == "win32", reason="needs the limit on the size of files")
def test_file_fits_without_room_for_its_journal(tmp_path: Path) -> None:
    script = f"""
import asyncio, resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from scripted_server import ScriptedServer, client, remote
async def main():
    async with ScriptedServer() as server, client(server, part_size=1 << 20, resume=True) as api:
        node = server.put("a", bytes(3 << 20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
        await remote(api, node).fetch({str(tmp_path)!r})
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("a", 3 << 20)]


@pytest.mark.fault(118, 121)
@pytest.mark.parametrize("where", [("socket", "gethostname"), ("os", "fstatvfs"), ("os", "statvfs")])
@each_size
async def test_missing_machine_facts_are_not_needed(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[str, str], data: bytes
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    server.put("a", data)
    async with client(server, part_size=MIB // 2, resume=True) as api:
        monkeypatch.setattr(".".join(where), refuse)
        report = await api.run(RUN).download(tmp_path)
        monkeypatch.undo()
    assert report.downloaded == 1
    assert (tmp_path / "a").read_bytes() == data


@posix_only("it states the free bytes alone")
@pytest.mark.fault(118)
@pytest.mark.parametrize(
    "statistics", [(0, 4096, 0), (1000, 0, 10), (1000, 4096, 0)], ids=["no blocks", "no unit", "full"]
)
async def test_unknown_free_space_does_not_count_as_full(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statistics: tuple[int, int, int]
) -> None:
    blocks, unit, free = statistics
    real = os.statvfs

    def statvfs(where: object) -> SimpleNamespace:
        found = real(tmp_path)
        return SimpleNamespace(
            f_blocks=blocks, f_frsize=unit, f_bavail=free, f_files=0, f_favail=0, f_flag=found.f_flag
        )

    node = server.put("a", LARGE)
    async with client(server, part_size=MIB // 2) as api:
        monkeypatch.setattr(os, "statvfs", statvfs)
        if blocks and unit:
            assert (await error_of(LocalWriteError, remote(api, node).fetch(tmp_path))).errno == errno.ENOSPC
        else:
            await remote(api, node).fetch(tmp_path)
            assert (tmp_path / "a").read_bytes() == LARGE


ORDINARY = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
if os.geteuid() == 0:
    for right in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, right, 0, 0, 0):
            sys.exit("cannot drop rights")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def where_nothing_can_be_written(
    folder: Path, code: str, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run code while ``folder`` and its contents are read-only, even for root."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, "-c", ORDINARY, "-c", code, *arguments]
    try:
        done = subprocess.run(
            command, env=os.environ | environ, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    if done.stderr.strip() == "cannot drop rights":
        pytest.skip("this user may write everywhere")
    return done


GET = "import sys; from wbfiles_async._cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.fault(119)
@pytest.mark.parametrize("existing", ["verify", "keep"])
def test_read_only_folder_suffices_if_complete(wandb_server: LocalServer, tmp_path: Path, existing: str) -> None:
    shared = tmp_path / "shared"
    for name in ("A", "a", "media/b"):
        wandb_server.add_file(RUN, name, name.encode())
    Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key).run(RUN).download(shared)
    known = {"WANDB_BASE_URL": wandb_server.base_url, "WANDB_API_KEY": wandb_server.api_key}
    before = {path: path.stat().st_ctime_ns for path in shared.rglob("*")}
    arguments = ("get", RUN, "-o", str(shared), "--existing", existing, "--json")
    done = where_nothing_can_be_written(shared, GET, *arguments, **known)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["kept"] == 3
    assert set(before) == set(shared.rglob("*"))

    for name, data in {"c": b"new", "media/b": b"changed"}.items():
        wandb_server.add_file(RUN, name, data)
    done = where_nothing_can_be_written(shared, GET, *arguments, **known)
    results = {line["name"]: line for line in map(json.loads, done.stdout.splitlines()) if "name" in line}
    wanted = {"c", "media/b"} if existing == "verify" else {"c"}
    assert done.returncode == 1
    assert {name for name, line in results.items() if line["status"] == "failed"} == wanted
    assert all("permissions" in results[name]["error"]["message"] for name in wanted)
    assert "Traceback" not in done.stderr


@pytest.mark.fault(119)
def test_existing_file_is_returned_from_a_read_only_disk(wandb_server: LocalServer, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a").write_text("here")
    wandb_server.add_file(RUN, "a", b"remote")
    code = (
        "import sys\nfrom wbfiles_async import Api, LocalWriteError\n"
        "file = Api(base_url=sys.argv[1], api_key=sys.argv[2]).run('team/project/run1').file('a')\n"
        "print(file.download(sys.argv[3], exist_ok=True).read())\n"
        "try: file.fetch(sys.argv[3], replace=True)\n"
        "except LocalWriteError: print('refused')"
    )
    done = where_nothing_can_be_written(shared, code, wandb_server.base_url, wandb_server.api_key, str(shared))
    assert done.stdout.split() == ["here", "refused"], done.stderr
    assert not [seen for seen in wandb_server.requests if seen.path.startswith("/store/")]


@pytest.mark.fault(120)
@pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1"])
def test_names_are_written_as_utf8_whatever_the_locale_is(
    wandb_server: LocalServer, tmp_path: Path, locale: str
) -> None:
    names = {"plain", "media/\u65e5\u672c.png", "\u00fc/large"}
    for name in names:
        wandb_server.add_file(RUN, name, LARGE if name.endswith("large") else name.encode())
    environ = os.environ | {
        "WANDB_BASE_URL": wandb_server.base_url,
        "WANDB_API_KEY": wandb_server.api_key,
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    command = [sys.executable, "-c", GET, "get", RUN, "-o", str(tmp_path / "data"), "--json"]
    for key in ("downloaded", "kept"):
        done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["summary"][key] == 3
    there = {path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*")}
    assert names <= there <= names | {"media", "\u00fc", ".wbfiles-state"}
    report = Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key).run(RUN).download(tmp_path / "data")
    assert report.kept == 3


@pytest.mark.fault(121)
@pytest.mark.skipif(sys.platform == "win32", reason="needs a user without a name")
def test_user_without_a_home_folder_needs_none() -> None:
    code = (
        "import os; os.getuid() or os.setuid(54321); os.environ.clear()\n"
        "from pathlib import Path\n"
        "try: print(Path.home())\n"
        "except RuntimeError: print('none')\n"
        "from wbfiles_async import AuthenticationError, Api\n"
        "print(Api(api_key='k' * 40, base_url='http://127.0.0.1:9'))\n"
        "try: Api()\n"
        "except AuthenticationError as error: print(error)"
    )
    prepared = f"import wbfiles_async._gateway, wbfiles_async._sync.loop_executor\n{code}"
    done = subprocess.run([sys.executable, "-c", prepared], capture_output=True, text=True, timeout=60, check=False)
    home, client_made, *missing = done.stdout.splitlines()
    if home != "none":
        pytest.skip("needs a user that the system does not know")
    assert client_made == "<Api http://127.0.0.1:9>"
    assert missing, done.stderr


@pytest.mark.fault(85)
@pytest.mark.parametrize("existing", ["replace", "verify", "keep"])
async def test_obstacles_are_found_before_any_request(
    server: ScriptedServer, tmp_path: Path, existing: Literal["replace", "verify", "keep"]
) -> None:
    for name in ("a", "b", "folder/c", "link/d", "right"):
        server.put(name, SMALL)
    root = tmp_path / "data"
    (root / "a").mkdir(parents=True)
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "folder").write_bytes(b"a file")
    (root / "link").symlink_to(tmp_path)
    async with client(server) as api:
        report = await api.run(RUN).download(root, existing=existing, raise_on_error=False)
    assert {failure.name: type(failure.error) for failure in report.failures} == {
        "a": LocalWriteError, "b": UnsafePathError, "folder/c": LocalWriteError, "link/d": UnsafePathError,
    }  # fmt: skip
    assert {seen.path for seen in server.seen()} == {"/store/right"}


@pytest.mark.fault(118)
async def test_unreadable_file_is_replaced(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("a", SMALL)
    (tmp_path / "a").write_bytes(SMALL)
    real, refused = os.open, 0

    def refuse(path: str, flags: int, *rest: Any, **named: Any) -> int:
        nonlocal refused
        if Path(path).name == "a" and not flags & os.O_CREAT:
            refused += 1
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    async with client(server) as api:
        report = await api.run(RUN).download(tmp_path)
    assert (report.downloaded, refused) == (1, 1)


def test_unknown_umask_makes_files_private(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert default_mode() == 0o600


@pytest.mark.fault(118)
def test_parts_ending_together_are_both_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary, size = PartFile(TargetPath(tmp_path, ("a",))), 4 * MIB
    temporary.create(size=size, md5=b"m" * 16)
    temporary.note(Range(0, MIB), '"v1"')
    other = threading.Thread(target=temporary.note, args=(Range(2 * MIB, 3 * MIB), '"v1"'))

    def meanwhile(*_: object) -> None:
        if not other.ident:
            other.start()
            other.join(0.2)  # all that it needs, unless it waits for this process

    before_each_write(monkeypatch, meanwhile)
    temporary.note(Range(3 * MIB, size), '"v1"')
    other.join()
    journal = parse_journal(temporary.keep().read_bytes()[size:])
    temporary.discard()
    assert journal is not None
    assert journal.parts == (Range(0, MIB), Range(2 * MIB, size))


FEW_THREADS = """
import asyncio, os, resource, sys, threading
import wbfiles_async._gateway
from wbfiles_async._disk.executor import Disk
from wbfiles_async.errors import TransferError

def allow_no_more():
    if os.getuid() == 0:
        os.setuid(54321)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

async def main(before):
    disk, ran = Disk(), []
    for _ in range(before):
        await disk.run(int)
    allow_no_more()
    work = [*(disk.run(ran.append, n) for n in range(20)), *(disk.run_batched(ran.append, n) for n in range(20, 40))]
    ends = await asyncio.gather(*work, return_exceptions=True)
    print({type(end).__name__ for end in ends}, sorted(ran) == list(range(40)) if before else ran)
    disk.close()

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.fault(122)
@pytest.mark.skipif(sys.platform != "linux", reason="needs the limit on the number of threads")
@pytest.mark.parametrize(("before", "output"), [("1", "{'NoneType'} True"), ("0", "{'TransferError'} []")])
def test_existing_threads_do_the_work_or_a_clear_error_is_raised(before: str, output: str) -> None:
    command = [sys.executable, "-c", FEW_THREADS, before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == (output, 0), done.stderr


@pytest.mark.fault(122)
async def test_rejected_work_never_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    disk, ran = Disk(), list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for run in (disk.run, disk.run_batched):
            with pytest.raises(TransferError, match="ulimit -u"):
                await run(ran.append, "refused")
        with pytest.raises(TransferError, match="ulimit -u"):
            await disk.follow(lambda: ran.append("refused"))
    await disk.run(ran.append, "later")
    disk.close()
    assert ran == ["later"]
