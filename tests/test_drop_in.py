"""Scripts written for ``wandb.Api`` work with ``Api``: the same scripts run with both, and behave the same except
for the differences listed here, each with its reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from wbfiles_async.testing import LocalServer

SCRIPTS = Path(__file__).parent / "scripts"
MODULES = ("wandb", "wbfiles_async")
RUN = "team/project/run"
FILES = {
    "config.yaml": b"a: 1\n",
    "deep/er/c.bin": bytes(range(256)),
    "empty.txt": b"",
    "media/b.png": b"PNG",
    "media/plot 1.png": b"PNG, too",
    "output.log": "größer\n".encode() * 10,
}
NOON = 1_750_000_000
SECONDS = 60
"""The time limit of a script, in seconds; `wandb` starts a service, which takes a while."""


pytestmark = pytest.mark.shows_secrets("the scripts print the URLs, to compare them")


@attrs.frozen
class Difference:
    """The differences that a script sees."""

    what: str
    wandb: object
    ours: object
    reason: str

    def __str__(self) -> str:
        return self.what


DIFFERENCES = (
    Difference("length by pattern", 6, 2, "wandb counts all files of the run; ours those that match"),
    Difference(
        "by names and pattern",
        "CommError",
        "ValueError",
        "wandb documents ValueError, and wraps it in a CommError; ours is the ValueError",
    ),
    Difference(
        "file in the way",
        "CommError",
        "ValueError",
        "wandb documents ValueError, and wraps it in a CommError; ours is the ValueError",
    ),
    Difference(
        "run.file of what does not exist",
        "CommError",
        "FileNotFoundError",
        "wandb wraps the IndexError of an empty listing in a CommError; ours is the builtin that fits",
    ),
    Difference(
        "run that does not exist",
        "CommError",
        "LookupError",
        "wandb wraps its ValueError in a CommError; ours is the builtin that fits",
    ),
    Difference(
        "repr",
        "<File config.yaml (None) 5.0B>",
        "<File team/project/run: config.yaml (type unknown, 5 B)>",
        "ours tells the run too",
    ),
)


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A clean environment, in which `wandb` does not report its own errors."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONUTF8": "1", "WANDB_ERROR_REPORTING": "false"}
    return clean | variables


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, object]]:
    """The script's output with each module, with the same server in the same state."""
    seen: dict[str, Mapping[str, object]] = {}
    with LocalServer(tmp_path_factory.mktemp("served"), clock=lambda: NOON) as server:
        for module in MODULES:
            for name, content in FILES.items():
                os.utime(server.add_file(RUN, name, content), (NOON, NOON))
            home = tmp_path_factory.mktemp(f"home-of-{module}")
            script = subprocess.run(
                [sys.executable, SCRIPTS / "drop_in.py", module, RUN],
                cwd=tmp_path_factory.mktemp(f"folder-of-{module}"),
                env=environment(home, WANDB_BASE_URL=server.base_url, WANDB_API_KEY=server.api_key),
                capture_output=True,
                encoding="utf-8",
                timeout=SECONDS,
            )
            assert script.returncode == 0, script.stderr
            seen[module] = json.loads(script.stdout)
    return seen


def test_script_behaves_the_same_with_both(seen: Mapping[str, Mapping[str, object]]) -> None:
    different = {difference.what for difference in DIFFERENCES}
    wandb, ours = ({what: it for what, it in seen[module].items() if what not in different} for module in MODULES)
    assert ours == wandb


@pytest.mark.parametrize("difference", DIFFERENCES, ids=str)
def test_script_differences_are_intended(seen: Mapping[str, Mapping[str, object]], difference: Difference) -> None:
    assert [seen[module][difference.what] for module in MODULES] == [difference.wandb, difference.ours]


def test_script_sees_the_servers_files(seen: Mapping[str, Mapping[str, object]]) -> None:
    ours = seen["wbfiles_async"]
    assert ours["names"] == ours["pages of two"] == sorted(FILES)
    assert ours["size of all"] == sum(map(len, FILES.values()))
    assert ours["by name"] == ["config.yaml", "media/plot 1.png"]
    assert ours["by pattern"] == ["media/b.png", "media/plot 1.png"]
    assert ours["downloaded"] == ["media/b.png", "media/plot 1.png"]
    assert ours["handle"] == ["TextIOWrapper", "r", "config.yaml", "a: 1\n"]
    assert [ours["exist_ok"], ours["replace"], ours["replace and exist_ok"]] == ["mine", "a: 1\n", "a: 1\n"]
    assert ours["after delete"] == sorted(FILES.keys() - {"empty.txt"})


SIGNED = "X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-Signature=0123456789abcdef"
API_URL = "https://api.wandb.ai/files/team/project/run/a/b.png"
DICTIONARY: dict[str, object] = {
    "id": "RmlsZTox",
    "name": "a/b.png",
    "url": API_URL,
    "directUrl": f"https://bucket.s3.us-west-2.amazonaws.com/team/project/run/a/b.png?{SIGNED}",
    "sizeBytes": 17,
    "mimetype": "image/png",
    "updatedAt": "2026-01-01T00:00:00Z",
    "md5": "rL0Y20zC+Fzt72VPzMSk2A==",
}
DICTIONARIES: dict[str, dict[str, object]] = {
    "in S3": DICTIONARY,
    "in S3 without a region": DICTIONARY | {"directUrl": f"https://bucket.s3.amazonaws.com/a/b.png?{SIGNED}"},
    "in GCS": DICTIONARY | {"directUrl": "https://storage.googleapis.com/bucket/a/b.png?X-Goog-Signature=01"},
    "a reference in S3": DICTIONARY | {"url": "s3://bucket/a/b.png", "directUrl": "s3://bucket/a/b.png"},
    "a reference in GCS": DICTIONARY | {"url": "gs://bucket/a/b.png", "directUrl": "gs://bucket/a/b.png"},
    "without a direct URL": DICTIONARY | {"directUrl": None},
    "of unknown length": DICTIONARY | {"sizeBytes": None, "md5": None, "mimetype": None},
}
OTHERWISE: dict[str, dict[str, object]] = {
    "in S3, path-style": DICTIONARY | {"directUrl": f"https://s3.eu-west-1.amazonaws.com/bucket/a/b.png?{SIGNED}"},
    "in S3, dotted bucket": DICTIONARY | {"directUrl": f"https://my.bucket.s3.amazonaws.com/a/b.png?{SIGNED}"},
    "in S3, quoted key": DICTIONARY | {"directUrl": f"https://bucket.s3.amazonaws.com/a/b%20c.png?{SIGNED}"},
}
PATH_URIS = {
    "in S3, path-style": ("s3://s3/bucket/a/b.png", "s3://bucket/a/b.png"),
    "in S3, dotted bucket": ("s3://my/a/b.png", "s3://my.bucket/a/b.png"),
    "in S3, quoted key": ("s3://bucket/a/b%20c.png", "s3://bucket/a/b c.png"),
}
"""wandb's location of the object, and the right one."""


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
    """The attributes of files made from the dictionaries above."""
    values: dict[str, Mapping[str, Mapping[str, object]]] = {}
    given = DICTIONARIES | OTHERWISE
    for module in MODULES:
        script = subprocess.run(
            [sys.executable, SCRIPTS / "drop_in_values.py", module],
            env=environment(tmp_path_factory.mktemp(f"home-of-{module}")),
            input="".join(json.dumps(dictionary) + "\n" for dictionary in given.values()),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
        assert script.returncode == 0, script.stderr
        values[module] = dict(zip(given, map(json.loads, script.stdout.splitlines()), strict=True))
    return values


@pytest.mark.parametrize("kind", DICTIONARIES)
def test_file_attributes_are_the_same(values: Mapping[str, Mapping[str, Mapping[str, object]]], kind: str) -> None:
    assert values["wbfiles_async"][kind] == values["wandb"][kind]


@pytest.mark.parametrize("kind", OTHERWISE)
def test_path_uri_is_right_where_wandb_is_not(
    values: Mapping[str, Mapping[str, Mapping[str, object]]], kind: str
) -> None:
    wandb, ours = (values[module][kind] for module in MODULES)
    assert (wandb["path_uri"], ours["path_uri"]) == PATH_URIS[kind]
    assert {**ours, "path_uri": None} == {**wandb, "path_uri": None}
