"""Names that differ in case or the form of accents, on disks that distinguish them and on disks that do not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import RUN, ScriptedServer, client
from scripted_server import server as server
from systems import WINDOWS

from wbfiles_async import AsyncApi, FileResult, NameCollisionError, TransferOptions, UnsafePathError
from wbfiles_async._disk.folding import Folding
from wbfiles_async.testing import LocalServer

CANNOT_BE_HELD = {"loss: train|val?.png"}
TWINS = {"A.txt", "a.TXT", "Dir/x", "dir/X", "media/\u00e9/P", "media/\u00e9/p"}
OTHERS = {"other", "dir/y", "media/q"} | (set() if WINDOWS else CANNOT_BE_HELD)


@pytest.fixture(params=["this disk", "NTFS that ignores case"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of the one and of the other kind; skips where the other kind cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "this disk":
        yield folder
        return
    make, driver = shutil.which("mkntfs"), shutil.which("lowntfs-3g")
    if make is None or driver is None or not Path("/dev/fuse").exists():
        pytest.skip("needs mkntfs, lowntfs-3g and FUSE")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    geometry = ["-s", "512", "-p", "0", "-H", "0", "-S", "0"]
    subprocess.run([make, "-q", "-F", *geometry, str(image)], check=True, capture_output=True)
    mounted = subprocess.run([driver, "-o", "ignore_case", str(image), str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode(errors='replace').strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def ignores_case(folder: Path) -> bool:
    (folder / "tried").touch()
    try:
        return (folder / "TRIED").exists()
    finally:
        (folder / "tried").unlink()


def written(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.fault(97, 116)
@pytest.mark.parametrize("below", ["", "new/folder"])
async def test_names_equal_on_this_disk_never_replace_each_other(
    server: ScriptedServer, disk: Path, below: str
) -> None:
    root, folds = disk / below, ignores_case(disk)
    for name in TWINS | OTHERS:
        server.put(name, name.encode())
    async with client(server) as api:
        for status in ("downloaded", "kept"):
            results: list[FileResult] = []
            await api.run(RUN).download(root, raise_on_error=False, on_result=results.append)
            refused = {result.name for result in results if isinstance(result.error, NameCollisionError)}
            assert refused == (TWINS if folds else set())
            assert {result.name: result.status for result in results if result.name not in refused} == dict.fromkeys(
                OTHERS | TWINS - refused, status
            )
    there = {name: data for name, data in written(root).items() if not name.startswith(".")}
    assert {data.decode() for data in there.values()} == OTHERS | TWINS - refused
    assert folds or set(there) == OTHERS | TWINS


@pytest.mark.fault(97, 116)
async def test_earlier_page_wins_a_collision(wandb_server: LocalServer, disk: Path) -> None:
    folds = ignores_case(disk)
    for name in ("A", "B", "a"):
        wandb_server.add_file(RUN, name, name.encode())
    async with AsyncApi(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        report = await api.run(RUN).files(per_page=1).download(disk, raise_on_error=False)
    assert sorted(written(disk).values()) == [b"A", b"B"] + [b"a"] * (not folds)
    assert [failure.name for failure in report.failures] == ["a"] * folds


@pytest.mark.parametrize("may_write", [True, False])
def test_each_folder_is_probed_without_leftovers(disk: Path, may_write: bool) -> None:
    truth = ignores_case(disk)
    (disk / "folder" / "inner").mkdir(parents=True)
    folding = Folding(disk, may_write=may_write)
    assert folding.folds(("a",)) is truth
    assert folding.folds(("folder", "inner", "new", "a")) is truth
    assert [path.name for path in disk.iterdir()] == ["folder"]
    assert Folding(disk / "not" / "there", may_write=may_write).folds(("a",)) is truth
    assert [path.name for path in disk.iterdir()] == ["folder"]


async def test_dry_run_writes_no_probe_file(server: ScriptedServer, tmp_path: Path) -> None:
    for name in ("A", "a"):
        server.put(name, name.encode())
    folder = tmp_path / "data"
    folder.mkdir()
    before = folder.stat().st_mtime_ns
    async with client(server) as api:
        report = await api.run(RUN).download(folder, dry_run=True)
    assert report.planned == 2
    assert folder.stat().st_mtime_ns == before


@pytest.mark.fault(116)
async def test_portable_names_is_an_option(server: ScriptedServer, tmp_path: Path) -> None:
    names = {"a: b.png", "con", "end.", "what?/x"}
    for name in names | {"plain"}:
        server.put(name, name.encode())
    async with client(server, portable_names=True) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
        assert {failure.name: type(failure.error) for failure in report.failures} == dict.fromkeys(
            names, UnsafePathError
        )
        report = await api.run(RUN).files(names=["plain"]).download(tmp_path / "2")
        file = await api.run(RUN).file("con")
        with pytest.raises(UnsafePathError, match="device on Windows"):
            await file.fetch(tmp_path)
    assert set(written(tmp_path)) == {"plain", "2/plain"}
    async with client(server) as api:
        await api.run(RUN).download(tmp_path, raise_on_error=False)
    assert set(written(tmp_path)) == {"plain", "2/plain", *(() if WINDOWS else names)}
    assert not TransferOptions().portable_names
