"""Uploads of this package can be downloaded with the real wandb, and the reverse."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wbfiles_async import Api
from wbfiles_async.testing import LocalServer

SCRIPT = Path(__file__).parent.parent / "scripts" / "wandb_exchanges_files.py"
RUN = "team/project/run1"
OURS = {"media/a.png": os.urandom(300_000), "ä b#1%.txt": b"odd name", "empty": b"", "large.bin": os.urandom(3 << 20)}
THEIRS = {"of wandb/b.json": b"{}", "large.bin": b"replaced by wandb"}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("notified", [False, True], ids=["notified by the store", "notified by clients"])
def test_each_client_downloads_uploads_of_the_other(tmp_path: Path, notified: bool) -> None:
    ours, theirs = written(tmp_path / "ours", OURS), written(tmp_path / "theirs", THEIRS)
    with LocalServer(tmp_path / "served", entity="team", told_of_uploads=notified) as server:
        server.add_run(RUN)
        with Api(base_url=server.base_url, api_key=server.api_key) as api:
            assert api.run(RUN).upload(ours, ours).verified == len(OURS)
            environment = {
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "WANDB_BASE_URL": server.base_url,
                "WANDB_API_KEY": server.api_key,
                "WANDB_SILENT": "true",
            }
            child = subprocess.run(
                [sys.executable, str(SCRIPT), str(tmp_path / "by wandb"), str(theirs)],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=100,
            )
            assert child.returncode == 0, child.stderr
            seen = json.loads(child.stdout)
            assert {name: (size, md5) for name, (size, md5, _) in seen["before"].items()} == {
                name: (len(data), base64.b64encode(hashlib.md5(data).digest()).decode()) for name, data in OURS.items()
            }
            assert contents(tmp_path / "by wandb") == OURS
            assert seen["after"] == sorted({*OURS, *THEIRS})
            operations = [request.operation for request in server.requests]
            assert operations.count("MarkRunFilesUploaded") == 1 + len(THEIRS)  # ours in one
            assert operations.count("CreateRunFiles") == 1 + len(THEIRS)
            report = api.run(RUN).download(tmp_path / "back")
    assert report.verified == len({*OURS, *THEIRS})
    back = contents(tmp_path / "back")
    back.pop(".wbfiles-state", None)
    assert back == OURS | THEIRS
