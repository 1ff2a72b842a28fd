"""Runs the README's examples."""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from s3 import S3, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin

from wbfiles_async.testing import LocalServer

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
RUN = "my-team/my-project/1a2b3c4d"
FILES = {
    "config.yaml": b"learning_rate: 0.1\n",
    "wandb-summary.json": b'{"loss": 0.1}',
    "media/tables/confusion.json": b"[]",
    "model.bin": bytes(300_000),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def environment(wandb_server: LocalServer, home: Path) -> dict[str, str]:
    for name, data in FILES.items():
        wandb_server.add_file(RUN, name, data)
    return os.environ | {"WANDB_BASE_URL": wandb_server.base_url, "WANDB_API_KEY": wandb_server.api_key}


def run(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    child = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


def test_async_example_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = (block for block in blocks("python") if "async def main" in block)
    output = run([sys.executable, "-c", example], tmp_path, environment)
    assert "wandb-summary.json 13 " in output
    assert "2 downloaded, 0 kept" in output
    assert "learning_rate: 0.1" in output
    assert (tmp_path / "data/media/tables/confusion.json").read_bytes() == b"[]"


def test_blocking_example_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = (block for block in blocks("python") if "with file.download" in block)
    output = run([sys.executable, "-c", example], tmp_path, environment)
    assert "config.yaml 19 characters" in output
    assert "4 files, 4 verified" in output
    for name, data in FILES.items():
        assert (tmp_path / "data" / name).read_bytes() == data


def test_example_of_a_project_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = (block for block in blocks("python") if "api.runs" in block and "s3://" not in block)
    output = run([sys.executable, "-c", example], tmp_path, environment)
    assert "1a2b3c4d 1a2b3c4d finished" in output
    assert "2 files of 1 runs" in output
    assert (tmp_path / "data/my-project/1a2b3c4d/media/tables/confusion.json").read_bytes() == b"[]"
    assert (tmp_path / "some/1a2b3c4d/model.bin").read_bytes() == FILES["model.bin"]


def test_example_of_the_file_system_runs(
    tmp_path: Path, environment: dict[str, str], wandb_server: LocalServer
) -> None:
    (example,) = (block for block in blocks("python") if "import fsspec" in block)
    output = run([sys.executable, "-W", "error", "-c", example], tmp_path, environment)
    assert f"{RUN}/wandb-summary.json" in output
    assert (wandb_server.root / RUN / "notes.txt").read_text() == "uploaded when it is closed"


def test_example_of_an_upload_runs(tmp_path: Path, environment: dict[str, str], wandb_server: LocalServer) -> None:
    (example,) = (block for block in blocks("python") if "run.upload" in block)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.pt").write_bytes(b"model")
    (tmp_path / "out" / "notes.txt").write_bytes(b"notes")
    output = run([sys.executable, "-c", example], tmp_path, environment)
    assert "2 uploaded, 0 kept, 2 verified" in output
    assert "model.pt 5 " in output
    assert (wandb_server.root / RUN / "notes.txt").read_bytes() == b"notes"


@needs_s3
def test_example_of_a_bucket_runs(tmp_path: Path, environment: dict[str, str], s3: S3) -> None:
    (example,) = (block for block in blocks("python") if "s3://" in block)
    example = example.replace("s3://my-bucket", s3.url())
    output = run([sys.executable, "-c", example], tmp_path, environment | s3.environment)
    assert "2 files, " in output
    assert s3.objects().keys() == {
        "wb/my-project/1a2b3c4d/wandb-summary.json",
        "wb/my-project/1a2b3c4d/media/tables/confusion.json",
    }


def test_pytest_example_passes(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = (block for block in blocks("python") if "def test_" in block)
    (tmp_path / "test_example.py").write_text(example, encoding="utf-8")
    assert "1 passed" in run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], tmp_path, environment)


def text_of(picture: str) -> str:
    """Return the text of a picture that loads nothing. Its words are positioned without spaces."""
    root = ElementTree.parse(Path(__file__).parent.parent / picture).getroot()
    text = "".join("".join(root.itertext()).split())
    assert 'url("' not in text
    return text


def test_pictures_show_the_demo_and_the_speed() -> None:
    demo, latency = (text_of(place) for place in re.findall(r"!\[[^\]]+\]\((docs/.+?)\)", README))
    assert "$wbfilesdemo" in demo
    assert "together2348.0MiB" in demo
    assert all(name in latency for name in ("wbfiles_async", "wandb", "curl", "aria2c"))


def test_every_python_example_is_tested() -> None:
    assert len(blocks("python")) == 7


def run_commands(example: str, folder: Path, environment: dict[str, str]) -> set[str]:
    """Run the lines of an example; return what was fetched."""
    for line in example.splitlines():
        words = shlex.split(line)
        assert words[0] == "wbfiles"
        run([sys.executable, "-m", "wbfiles_async", *words[1:]], folder, environment)
    return {str(path.relative_to(folder / "data")) for path in (folder / "data").rglob("*") if path.is_file()}


def test_commands_on_a_run_work(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = (block for block in blocks("console") if f"wbfiles get {RUN}" in block)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "new.txt").write_bytes(b"new")
    fetched = run_commands(example, tmp_path, environment)
    assert fetched == {"wandb-summary.json", "media/tables/confusion.json"}


def test_commands_on_a_project_work(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = (block for block in blocks("console") if "--filters" in block)
    fetched = run_commands(example, tmp_path, environment)
    assert fetched == {"1a2b3c4d/wandb-summary.json", "1a2b3c4d/media/tables/confusion.json"}


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent.parent / "docs").rglob("*.svg")), ids=lambda path: path.name
)
def test_pictures_are_small_and_contain_no_machine_paths(path: Path) -> None:
    text = html.unescape(path.read_text(encoding="utf-8"))
    assert len(text) < 100_000
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    assert "http://www.w3.org" in text
    assert "@font-face" not in text, "which would have the reader's browser request it"
