from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._graphql.files_page import FilesPage, parse_file_attributes, parse_files_page
from wbfiles_async._graphql.page_end import PageEnd
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async.errors import RunNotFoundError

RUN = RunPath("e", "p", "r")
NODE: dict[str, object] = {
    "id": "RmlsZTox",
    "name": "a/b.txt",
    "url": "https://api/files/b",
    "directUrl": "https://store/b?sig=0",
    "sizeBytes": "3",
    "md5": "kAFQmDzST7DWlj99KOF/cg==",
    "mimetype": "text/plain",
    "updatedAt": "2024-01-01T00:00:00",
}
FILE = FileAttributes(
    id="RmlsZTox",
    name="a/b.txt",
    url="https://api/files/b",
    direct_url="https://store/b?sig=0",
    size_bytes=3,
    md5="kAFQmDzST7DWlj99KOF/cg==",
    mimetype="text/plain",
    updated_at="2024-01-01T00:00:00",
)


def data(files: object, **project: object) -> dict[str, object]:
    return {"project": {"internalId": 7, **project, "run": {"fileCount": 9, "files": files}}}


def edges(*nodes: object) -> dict[str, object]:
    return {
        "edges": [{"node": node, "cursor": f"c{place}"} for place, node in enumerate(nodes)],
        "pageInfo": {"endCursor": "end", "hasNextPage": True},
    }


def test_page_is_parsed() -> None:
    page = parse_files_page(data(edges(NODE)), run=RUN)
    assert page == FilesPage(files=(FILE,), end=PageEnd("c0", has_next=True), file_count=9, project_id=7, skipped=0)


@pytest.mark.fault(68)
@pytest.mark.parametrize(
    "answer",
    [{}, {"project": None}, {"project": {"internalId": 1}}, {"project": {"internalId": 1, "run": None}}],
)
def test_missing_run_or_project_is_not_an_empty_list(answer: dict[str, object]) -> None:
    with pytest.raises(RunNotFoundError, match="e/p/r") as caught:
        parse_files_page(answer, run=RUN)
    assert caught.value.run == "e/p/r"


@pytest.mark.fault(70)
@pytest.mark.parametrize("files", [None, {}, {"edges": None, "pageInfo": None}, {"edges": {}}, []])
def test_null_files_are_an_empty_page(files: object) -> None:
    page = parse_files_page(data(files), run=RUN)
    assert page.files == ()
    assert not page.end.has_next
    assert page.end.cursor is None


@pytest.mark.fault(70)
def test_invalid_entries_are_counted() -> None:
    listed = edges(NODE, None, {"id": "x"}, {"name": ""}, {"name": 7}, "text")
    listed["edges"] = [*listed["edges"], None, "text"]  # type: ignore[misc]
    page = parse_files_page(data(listed), run=RUN)
    assert page.files == (FILE,)
    assert page.skipped == 7
    assert page.end.cursor == "end"


@pytest.mark.parametrize("md5", [None, "0", ""])
@pytest.mark.parametrize("size", [0, "0"])
def test_placeholder_for_a_missing_name_is_skipped(md5: str | None, size: object) -> None:
    placeholder = {"id": "x", "name": "nope", "sizeBytes": size, "md5": md5, "updatedAt": None}
    page = parse_files_page(data(edges(placeholder)), run=RUN)
    assert page.files == ()
    assert page.skipped == 0


@pytest.mark.parametrize(
    "change",
    [{"updatedAt": "2024"}, {"md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, {"sizeBytes": None}, {"sizeBytes": 1}],
)
def test_empty_or_unfinished_file_is_not_a_placeholder(change: dict[str, object]) -> None:
    node = {"id": "x", "name": "empty", "sizeBytes": 0, "md5": None, "updatedAt": None} | change
    assert len(parse_files_page(data(edges(node)), run=RUN).files) == 1


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        (123, 123),
        ("123", 123),
        (base64.b64encode(b"ProjectInternalId:123").decode(), 123),
        (base64.b64encode(b"Project:v1:123").decode(), None),
        ("not base64!", None),
        ("é", None),
        (None, None),
        (True, None),
        ([1], None),
    ],
)
def test_projects_number_is_read_in_each_form(given_id: object, expected: int | None) -> None:
    assert parse_files_page(data(None, internalId=given_id), run=RUN).project_id == expected


@pytest.mark.fault(72)
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, 0),
        ("123", 123),
        (123.0, 123),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        (-1, None),
        ("-1", None),
        ("²", None),
        (1.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_invalid_size_is_unknown(size: object, expected: int | None) -> None:
    file = parse_file_attributes({"name": "x", "sizeBytes": size})
    assert file is not None
    assert file.size_bytes == expected


def test_snake_case_and_unknown_keys_are_read_too() -> None:
    node = {
        "id": 5,
        "name": "x",
        "direct_url": "d",
        "size_bytes": 1,
        "updated_at": "u",
        "md5": ["no"],
        "somethingElse": {},
    }
    assert parse_file_attributes(node) == FileAttributes(id="5", name="x", direct_url="d", size_bytes=1, updated_at="u")


@pytest.mark.fault(70, 72)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from([*NODE, "node", "cursor", "edges", "pageInfo"]), inner)
        ),
    )
)
def test_no_answer_makes_the_parser_fail(value: object) -> None:
    parse_file_attributes(value)
    assert parse_files_page(data(value), run=RUN).skipped >= 0
    assert parse_files_page(data({"edges": value, "pageInfo": value}), run=RUN).skipped >= 0


@pytest.mark.parametrize("half", ["\ud800", "x\udce4y"])
def test_lone_surrogate_affects_only_its_value(half: str) -> None:
    node = dict.fromkeys(["id", "url", "directUrl", "md5", "mimetype", "updatedAt"], half) | {
        "name": half,
        "sizeBytes": 1,
    }
    listed = edges(node, NODE) | {"pageInfo": {"endCursor": half, "hasNextPage": True}}
    page = parse_files_page(data(listed), run=RUN)
    # The name stays, so that the file is refused by its name and not skipped.
    assert page.files == (FileAttributes(id="", name=half, size_bytes=1), FILE)
    listed["edges"] = [{"node": NODE, "cursor": half}]
    assert parse_files_page(data(listed), run=RUN).end.cursor is None
