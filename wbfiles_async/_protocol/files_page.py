"""Read one page of a run's files as the server sends it. Performs no I/O, and knows of no other page.

Servers in the wild send numbers as strings and null anywhere; what is usable is used, the rest is counted.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping

import attrs

from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async.errors import RunNotFoundError

__all__ = ["FilesPage", "parse_file_attributes", "parse_files_page"]

_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")
_PROJECT_ID = re.compile(rb"ProjectInternalId:([0-9]{1,19})")


@attrs.frozen
class FilesPage:
    """One page of a run's files.

    Attributes:
        files: The files, in the server's order.
        end_cursor: Where the next page begins; ``None`` where the server gave no cursor.
        has_next: Whether the server says that there are more.
        file_count: All files of the run, whatever was asked for.
        project_id: The project's number, which deletions need.
        skipped: Entries that could not be read as a file.
    """

    files: tuple[FileAttributes, ...]
    end_cursor: str | None
    has_next: bool
    file_count: int | None
    project_id: int | None
    skipped: int


def parse_files_page(data: Mapping[str, object], *, run: RunPath) -> FilesPage:
    """Read the data of a `RUN_FILES` answer.

    Entries that the server makes up for names that do not exist are left out.

    Raises:
        RunNotFoundError: The server knows no such run or project, or does not show it.
    """
    project = _mapping(data.get("project"))
    found = _mapping(project.get("run"))
    if not found:
        what = "run" if project else "project"
        raise RunNotFoundError(
            f"{what} of {run} not found: it does not exist, or these credentials may not see it", run=str(run)
        )
    files = _mapping(found.get("files"))
    page_info = _mapping(files.get("pageInfo"))
    listed = files.get("edges")
    edges = [_mapping(edge) for edge in listed] if isinstance(listed, list) else []
    read = [parse_file_attributes(edge.get("node")) for edge in edges]
    # W&B's client pages with the last edge's cursor, so that is the one all servers get right.
    cursor = _text(edges[-1].get("cursor")) if edges else None
    return FilesPage(
        files=tuple(file for file in read if file is not None and not _is_placeholder(file)),
        end_cursor=cursor or _text(page_info.get("endCursor")),
        has_next=page_info.get("hasNextPage") is True,
        file_count=_whole_number(found.get("fileCount")),
        project_id=_project_id(project.get("internalId")),
        skipped=sum(file is None for file in read),
    )


def parse_file_attributes(node: object) -> FileAttributes | None:
    """Read the server's dictionary of one file, in its own spelling or in snake case.

    Keys that are missing, unknown or of the wrong kind do no harm.

    Returns:
        ``None`` where it is no dictionary or has no name.
    """
    given = _mapping(node)
    name = _text(given.get("name"))
    if name is None:
        return None
    identity = given.get("id")
    return FileAttributes(
        id=str(identity) if isinstance(identity, int) else _text(identity) or "",
        name=name,
        url=_text(given.get("url")),
        direct_url=_text(given.get("directUrl", given.get("direct_url"))),
        size_bytes=_whole_number(given.get("sizeBytes", given.get("size_bytes"))),
        md5=_text(given.get("md5")),
        mimetype=_text(given.get("mimetype")),
        updated_at=_text(given.get("updatedAt", given.get("updated_at"))),
    )


def _is_placeholder(file: FileAttributes) -> bool:
    return file.size_bytes == 0 and file.md5 in (None, "0") and file.updated_at is None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole_number(value: object) -> int | None:
    """Return a number of 0 or more that 63 bits hold, given as a number or as its digits."""
    number = -1
    if isinstance(value, str):
        number = int(value) if _WHOLE_NUMBER.fullmatch(value) else -1
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    return number if 0 <= number < 2**63 else None


def _project_id(value: object) -> int | None:
    """Return the project's number, which some servers wrap as base64 of ``ProjectInternalId:123``."""
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        try:
            match = _PROJECT_ID.fullmatch(binascii.a2b_base64(value))
        except ValueError:
            return None
        value = match[1].decode() if match else None
    return _whole_number(value)
