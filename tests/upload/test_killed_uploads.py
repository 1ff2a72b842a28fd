"""A killed upload leaves the old file, and a repetition completes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wbfiles_async.testing import LocalServer

SCRIPT = Path(__file__).parent.parent / "scripts" / "one_upload.py"
RUN = "team/project/run1"
DATA = os.urandom(8 << 20)
SECONDS = 60


@contextmanager
def uploading(server: LocalServer, path: Path, rate: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(SCRIPT), server.base_url, server.api_key, str(path), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def test_killed_upload_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    with LocalServer(tmp_path / "served") as server:
        there = server.add_file(RUN, "a.bin", b"old")
        for _ in range(2):
            with uploading(server, path, rate=1 << 20) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "sending\n"
            assert child.wait(SECONDS) != 0
            assert there.read_bytes() == b"old"
        with uploading(server, path, rate=0) as child:
            output, _ = child.communicate(timeout=SECONDS)
        assert (child.returncode, output.splitlines()[-1]) == (0, "finished")
        assert there.read_bytes() == DATA
