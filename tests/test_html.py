"""What notebooks show of the objects: small, harmless whatever a file is called, and never a request."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol

import pytest

from wbfiles_async import Api, AsyncApi, AsyncFile, DownloadReport, File, FileResult, TransferError
from wbfiles_async._display import notebook
from wbfiles_async._display.tally import Tally
from wbfiles_async.testing import LocalServer

RUN = "team/project/run1"
HOSTILE = '<script>alert("1")</script>&amp;\x1b[2J\u202e'
SHOWN = '<script>alert("1")</script>&amp;\\x1b[2J\\u202e'
SIGNATURE = "0123456789abcdef-secret"
NODE = {
    "id": "1",
    "name": HOSTILE,
    "sizeBytes": 2048,
    "mimetype": "<img src=x>",
    "md5": "<b>",
    "updatedAt": "<i>",
    "url": f"https://api.example/x?X-Amz-Signature={SIGNATURE}",
    "directUrl": f"https://store.example/x?X-Amz-Signature={SIGNATURE}",
}


class Shown(Protocol):
    def _repr_html_(self) -> str: ...


class Page(HTMLParser):
    """Reads HTML as a browser would, and keeps the tags and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(shown: Shown) -> Page:
    return Page(shown._repr_html_())


@pytest.fixture
def api(wandb_server: LocalServer) -> Iterator[Api]:
    with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
        yield api


def everything() -> list[Shown]:
    """One of each, with nothing in it that could be trusted."""
    api = AsyncApi(base_url="http://127.0.0.1:1", api_key="k" * 40)
    run = api.run("team/project/<script>alert(1)<script>")
    failure = FileResult(name=HOSTILE, status="failed", error=TransferError(f"{HOSTILE}: no"))
    return [
        run,
        run.files([HOSTILE]),
        run.files(pattern=HOSTILE),
        run.files(match={"name": HOSTILE, "direct_url": NODE["directUrl"]}),
        AsyncFile(api, NODE, run),
        File(None, NODE),
        DownloadReport(root=Path(HOSTILE), files=20, failed=20, failures=(failure,) * 20),
    ]


@pytest.mark.parametrize("shown", everything(), ids=lambda shown: type(shown).__name__)
def test_names_are_text_whatever_they_look_like_and_no_signature_is_shown(shown: Shown) -> None:
    read = page(shown)
    assert read.tags <= {"div", "b", "i", "table", "tr", "th", "td"}
    assert read.attributes <= {("style", "text-align: left")}, "colours are the theme's"
    text = " ".join(read.texts)
    assert "script" in text
    assert text.isprintable()
    assert SIGNATURE not in text
    assert len(shown._repr_html_()) < 6000


def test_a_file_shows_what_is_known(api: Api) -> None:
    file = page(File(api, NODE, api.run(RUN)))
    assert [text for text in file.texts if text.strip()] == [
        *("File ", SHOWN),
        *("run", RUN),
        *("size", "2.0 KiB (2,048 bytes)"),
        *("type", "<img src=x>"),
        *("changed", "<i>"),
        *("md5", "<b>"),
    ]
    assert page(File(api, {"name": "a"})).texts == ["File ", "a"]


def test_showing_files_makes_no_request_and_shows_what_was_listed(api: Api, wandb_server: LocalServer) -> None:
    for n in range(25):
        wandb_server.add_file(RUN, f"{n:02}.txt", b"." * 100)
    files = api.run(RUN).files(per_page=12)
    assert page(files).texts == ["Files of ", RUN, "not listed yet"]
    assert page(api.run(RUN)).texts == ["Run ", RUN]
    assert wandb_server.requests == ()
    assert files[0].name == "00.txt"
    asked = len(wandb_server.requests)
    texts = page(files).texts
    assert [text for text in texts if text.endswith(".txt")] == [f"{n:02}.txt" for n in range(10)]
    assert texts[-1] == "12 files listed so far"
    assert len(wandb_server.requests) == asked
    list(files)
    assert page(files).texts[-1] == "25 files"


def test_files_that_are_none_are_said_to_be_none(api: Api, wandb_server: LocalServer) -> None:
    wandb_server.add_run(RUN)
    files = api.run(RUN).files(["a", "b", "c", "d", "e"])
    assert list(files) == []
    assert page(files).texts == ["Files of ", f"{RUN}, names a, b, c and 2 more", "none"]


def test_a_report_shows_what_was_done(api: Api, wandb_server: LocalServer, tmp_path: Path) -> None:
    wandb_server.add_file(RUN, "a", b"." * 1024)
    report = api.run(RUN).download(tmp_path)
    texts = page(report).texts
    assert texts[:-1] == [
        *("Download to ", str(tmp_path)),
        *("files", "1", "fetched", "1 file, 1.0 KiB", "verified", "1 file"),
        "time",
    ]


def test_a_report_shows_some_failures_and_counts_the_others() -> None:
    failures = tuple(
        FileResult(name=f"{n}.txt", status="failed", error=TransferError(f"{n}.txt: no")) for n in range(20)
    )
    texts = page(DownloadReport(root=Path("data"), files=1_020, failed=1_010, failures=failures)).texts
    assert texts[-3:] == ["9.txt", "9.txt: no", "and 1,000 more"]


def test_the_moving_picture_is_harmless_too() -> None:
    tally = Tally()
    tally.expect(2, 4 << 20)
    tally.started(HOSTILE, 2 << 20)
    tally.started("unknown", None)
    tally.advanced("unknown", 2 << 20)
    listing = Page(notebook.picture(tally))
    assert listing.tags == {"div", "progress"}
    assert [text.strip() for text in listing.texts if text.strip()] == [
        "0 of 2 files or more, 2.0 MiB, 0 B/s",
        f"{SHOWN}, 0 B of 2.0 MiB",
        "unknown, 2.0 MiB",
    ]
    assert listing.attributes == {("value", "0.000")}, "a bar without a value for what has no total"
