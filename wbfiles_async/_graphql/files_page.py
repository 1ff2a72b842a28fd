"""Parses one page of a run's files. Performs no I/O, and knows no other pages.

Real servers send numbers as strings, and null anywhere; usable entries are used, the others are counted.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from wbfiles_async._graphql.json_values import mapping, project_number, text, whole_number
from wbfiles_async._graphql.page_end import PageEnd, edges_of, page_end
from wbfiles_async._models import FileAttributes, RunPath
from wbfiles_async.errors import RunNotFoundError

__all__ = ["FilesPage", "parse_file_attributes", "parse_files_page", "read_attributes", "read_files"]


@attrs.frozen
class FilesPage:
    """One page of a run's files.

    Attributes:
        files: The files, in the server's order.
        end: Its end.
        file_count: The number of all files of the run.
        project_id: The project's number, which deletions need.
        skipped: Entries that could not be read as a file.
    """

    files: tuple[FileAttributes, ...]
    end: PageEnd
    file_count: int | None
    project_id: int | None
    skipped: int


def parse_files_page(data: Mapping[str, object], *, run: RunPath) -> FilesPage:
    """Read the data of a `RUN_FILES` answer.

    Placeholders of the server for names that do not exist are skipped.

    Raises:
        RunNotFoundError: The server knows no such run or project, or does not show it.
    """
    project = mapping(data.get("project"))
    found = mapping(project.get("run"))
    if not found:
        what = "run" if project else "project of"
        raise RunNotFoundError(
            f"{what} {run} not found: it does not exist, or these credentials may not see it.", run=str(run)
        )
    return read_files(found, project_id=project_number(project.get("internalId")))


def read_files(run: Mapping[str, object], *, project_id: int | None) -> FilesPage:
    """Parse the page of files of one run in a response."""
    listing = mapping(run.get("files"))
    read = [parse_file_attributes(edge.get("node")) for edge in edges_of(listing)]
    return FilesPage(
        files=tuple(file for file in read if file is not None and not _is_placeholder(file)),
        end=page_end(listing),
        file_count=whole_number(run.get("fileCount")),
        project_id=project_id,
        skipped=sum(file is None for file in read),
    )


def parse_file_attributes(node: object) -> FileAttributes | None:
    """Parse the server's dictionary of one file, in camel or snake case.

    Missing, unknown or invalid keys are ignored.

    Returns:
        ``None`` if it is no dictionary or has no name.
    """
    file = read_attributes(mapping(node))
    return file if file.name else None


def read_attributes(given: Mapping[str, object]) -> FileAttributes:
    """Read a dictionary of one file as ``parse_file_attributes`` does; its name is empty if there is none."""
    identity, name = given.get("id"), given.get("name")
    return FileAttributes(
        id=str(identity) if isinstance(identity, int) else text(identity) or "",
        name=name if isinstance(name, str) else "",  # not `text`: an invalid name is refused, not skipped
        url=text(given.get("url")),
        direct_url=text(given.get("directUrl", given.get("direct_url"))),
        size_bytes=whole_number(given.get("sizeBytes", given.get("size_bytes"))),
        md5=text(given.get("md5")),
        mimetype=text(given.get("mimetype")),
        updated_at=text(given.get("updatedAt", given.get("updated_at"))),
    )


def _is_placeholder(file: FileAttributes) -> bool:
    return file.size_bytes == 0 and file.md5 in (None, "0") and file.updated_at is None
