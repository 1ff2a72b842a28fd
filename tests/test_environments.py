"""Odd variables, limits, users, folders and mounts: optional facilities cannot stop ``wbfiles get``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from terminal import WBFILES

from wbfiles_async.testing import LocalServer

RUN = "team/project/run1"
FILES = {"config.yaml": b"lr: 0.1\n", "media/größe.txt": b"42", "large.bin": bytes(range(256)) * 4096 * 9}
MISSING = "/nonexistent/wbfiles"

DONE_WITHOUT: Mapping[str, Mapping[str, str]] = {
    "nothing at all": {},
    "no home": {"HOME": ""},
    "a missing home": {"HOME": MISSING},
    "a home that is not a folder": {"HOME": "/dev/null"},
    "an unknown time zone": {"TZ": "Mars/Phobos"},
    "a time zone that is a device": {"TZ": ":/dev/zero"},
    "an unknown locale": {"LC_ALL": "xx_YY.UTF-99", "LANG": "xx"},
    "an ASCII locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII streams": {"PYTHONIOENCODING": "ascii:strict"},
    "no PATH": {"PATH": ""},
    "no temporary folder": {"TMPDIR": MISSING},
    "an odd terminal": {"TERM": "of-nobody", "COLUMNS": "wide", "LINES": "-1"},
    "a terminal without columns": {"COLUMNS": "0", "LINES": "0", "FORCE_COLOR": "1"},
    "missing certificates without https": {"SSL_CERT_FILE": MISSING, "SSL_CERT_DIR": MISSING},
    "an invalid proxy for other hosts": {"HTTPS_PROXY": "a:b:c", "ALL_PROXY": "ftp://x", "NO_PROXY": "127.0.0.1"},
    "a configuration that is a device": {"WANDB_CONFIG_DIR": "/dev/null"},
    "a netrc that never ends": {"NETRC": "/dev/zero"},
    "a netrc that is a folder": {"NETRC": "/"},
    "other settings of wandb": {"WANDB_MODE": "offline", "WANDB_DIR": MISSING, "WANDB_CACHE_DIR": MISSING},
    "asyncio's debug mode": {"PYTHONASYNCIODEBUG": "1", "PYTHONDEVMODE": "1"},
}  # fmt: skip


@pytest.fixture
def server(wandb_server: LocalServer) -> LocalServer:
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    return wandb_server


def get(
    server: LocalServer, folder: Path, *before: str, root: str = "data", **environ: str
) -> subprocess.CompletedProcess[str]:
    known = {"WANDB_BASE_URL": server.base_url, "WANDB_API_KEY": server.api_key}
    return subprocess.run(
        [*before, *WBFILES, "get", RUN, "-o", root], cwd=folder, env=known | environ, capture_output=True,
        encoding="utf-8", errors="replace", timeout=60, check=False,
    )  # fmt: skip


def fetched(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.fault(121, 204)
@pytest.mark.parametrize("environ", DONE_WITHOUT.values(), ids=DONE_WITHOUT.keys())
def test_optional_facilities_cannot_stop_a_download(
    server: LocalServer, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    done = get(server, tmp_path, **environ)
    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path / "data") == FILES
    assert "Traceback" not in done.stderr


@pytest.mark.fault(204)
@pytest.mark.parametrize(
    ("environ", "code", "message"),
    [
        ({"WANDB_HTTP_TIMEOUT": "soon"}, 2, "WANDB_HTTP_TIMEOUT must be a number of seconds"),
        ({"WANDB_BASE_URL": "server"}, 2, "must be an http or https URL"),
        ({"WANDB_API_KEY": "", "HOME": MISSING, "NETRC": MISSING}, 3, "No credentials for"),
        ({"HTTP_PROXY": "ftp://proxy", "WANDB_BASE_URL": "http://api.example"}, 2, "HTTP_PROXY"),
    ],
    ids=["time", "server", "key", "proxy"],
)  # fmt: skip
def test_missing_requirements_are_reported_in_one_line(
    server: LocalServer, tmp_path: Path, environ: dict[str, str], code: int, message: str
) -> None:
    done = get(server, tmp_path, **environ)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.fault(204)
@pytest.mark.parametrize("is_absolute", [True, False])
def test_removed_current_folder(server: LocalServer, tmp_path: Path, is_absolute: bool) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    root = str(tmp_path / "data") if is_absolute else "data"
    shell = ("sh", "-c", f'rmdir "{gone}"; exec "$@"', "sh")
    done = get(server, gone, *shell, root=root, PATH=os.environ["PATH"], PYTHONPATH=str(Path(__file__).parents[1]))
    assert "Traceback" not in done.stderr
    assert (done.returncode == 0) is is_absolute, done.stderr
    if is_absolute:
        assert fetched(tmp_path / "data") == FILES
    else:
        assert "removed meanwhile" in done.stderr


LIMITS: Mapping[str, Sequence[str]] = {
    "few descriptors": ("--nofile=32",),
    "no core files, no locked memory": ("--core=0", "--memlock=0"),
    "a small stack": ("--stack=262144",),
    "little memory": ("--as=700000000",),
    "a file size limit": (f"--fsize={len(FILES['large.bin'])}",),
}


@pytest.mark.fault(80, 100, 204)
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS.keys())
def test_restricted_process_downloads_the_files(server: LocalServer, tmp_path: Path, limits: Sequence[str]) -> None:
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("needs prlimit")
    done = get(server, tmp_path, prlimit, *limits)
    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path / "data") == FILES


@pytest.mark.fault(121, 204)
@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="needs to become a user that nobody knows")
def test_unknown_user_downloads_and_owns_the_files(server: LocalServer, tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o7 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    work = tmp_path / "work"
    work.mkdir()
    os.chown(work, 54321, 54321)
    done = get(server, work, setpriv, "--reuid=54321", "--regid=54321", "--clear-groups", "--no-new-privs")
    if "Permission denied" in done.stderr and not (work / "data").exists():
        pytest.skip("the interpreter lies where others may not look")
    assert done.returncode == 0, done.stderr
    assert fetched(work / "data") == FILES
    assert {path.stat().st_uid for path in (work / "data").rglob("*")} == {54321}


MOUNTS = {
    "a disk that is read-only": ("mount -t tmpfs -o ro none data", 1, "read-only"),
    "a disk that is too small": ("mount -t tmpfs -o size=64k none data", 1, "needed"),
    "a disk with few inodes": ("mount -t tmpfs -o nr_inodes=3 none data", 1, "room for"),
    "a noexec disk": ("mount -t tmpfs -o noexec,nosuid,nodev none data", 0, ""),
    "a machine without /proc": ("mount -t tmpfs none /proc", 0, ""),
    "a machine without /tmp and /var/tmp": ("mount -t tmpfs -o ro none /var/tmp", 0, ""),
    "a machine without /etc/passwd": ("mount --bind /dev/null /etc/passwd", 0, ""),
}


@pytest.mark.fault(78, 79, 84, 118, 204)
@pytest.mark.parametrize(("mount", "code", "message"), MOUNTS.values(), ids=MOUNTS.keys())
def test_mounted_file_systems(server: LocalServer, tmp_path: Path, mount: str, code: int, message: str) -> None:
    (tmp_path / "data").mkdir()
    probe = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("needs the right to mount")
    script = f'{mount} && "$@"; code=$?; cp -r data copied; exit $code'
    done = get(server, tmp_path, "unshare", "--mount", "sh", "-c", script, "sh", PATH=os.environ["PATH"])
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr
    if not code:
        assert fetched(tmp_path / "copied") == FILES
    else:
        assert fetched(tmp_path / "copied").items() < FILES.items()
