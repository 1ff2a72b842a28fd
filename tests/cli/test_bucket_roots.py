"""``wbfiles get --root s3://...``."""

from __future__ import annotations

from pathlib import Path

from s3 import S3, needs_s3
from s3 import s3 as s3
from s3 import s3_origin as s3_origin
from test_commands import FILES, RUN, Wbfiles
from test_commands import wbfiles as wbfiles

pytestmark = needs_s3


def test_run_is_downloaded_into_a_bucket(wbfiles: Wbfiles, s3: S3) -> None:
    ending = wbfiles("get", RUN, "--root", s3.url("prefix"))
    assert (ending.code, len(ending.lines)) == (0, len(FILES))
    assert f"in {s3.url('prefix')}" in ending.err
    assert s3.objects() == {f"prefix/{name}": data for name, data in FILES.items()}
    assert list(Path().iterdir()) == []
    again = wbfiles("get", RUN, "--root", s3.url("prefix"), "--json")
    assert again.objects[-1]["summary"]["kept"] == len(FILES)
    assert {each["path"] for each in again.objects[:-1]} == {f"{s3.url('prefix')}/{name}" for name in FILES}


def test_missing_bucket_is_reported(wbfiles: Wbfiles, s3: S3) -> None:
    ending = wbfiles("get", RUN, "--root", "s3://no-such-bucket")
    assert (ending.code, ending.out) == (1, "")
    assert "there is no such bucket" in ending.err


def test_unsupported_url_is_a_usage_error(wbfiles: Wbfiles) -> None:
    ending = wbfiles("get", RUN, "--root", "ftp://host/folder")
    assert ending.code == 2
    assert "is not a place that files can be written to" in ending.err


def test_project_is_downloaded_into_a_bucket(wbfiles: Wbfiles, s3: S3) -> None:
    assert wbfiles("get", "team/project/", "-o", s3.url(), "--include", "*.yaml").code == 0
    assert s3.objects() == {"run1/config.yaml": FILES["config.yaml"]}
