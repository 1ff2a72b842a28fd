"""Parses responses about uploads: URLs, and whether uploads must be marked. Performs no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from wbfiles_async._graphql.json_values import mapping, text
from wbfiles_async._models import MARKS_UPLOADS, RunPath, UploadUrl
from wbfiles_async._urls import SecretUrl
from wbfiles_async.errors import ApiError

__all__ = ["check_marked", "parse_marks_uploads", "parse_upload_urls"]

# RFC 9110 sections 5.1 and 5.5, without obsolete forms.
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_FIELD_VALUE: Final = re.compile(r"[\x20-\x7e]{0,4000}")
# We determine the framing of the request.
_FRAMING: Final = frozenset({"connection", "content-length", "host", "transfer-encoding", "upgrade"})


def parse_upload_urls(data: Mapping[str, object], *, run: RunPath, base_url: str) -> dict[str, UploadUrl]:
    """Read the data of a `CREATE_RUN_FILES` answer.

    Args:
        data: The data.
        run: The run, for messages.
        base_url: The API's URL: URLs that begin with ``/`` are below it.

    Returns:
        The upload targets by name. Names that the server refuses are missing.

    Raises:
        ApiError: The server accepts no files for this run, or states header fields that cannot be sent.
    """
    answer = mapping(data.get("createRunFiles"))
    if text(answer.get("runID")) is None:
        raise ApiError(
            f"The server accepts no files for the run {run}. Check that it exists and that these credentials may write "
            "to its project.",
            status=200,
        )
    lines, files = answer.get("uploadHeaders"), answer.get("files")
    headers = tuple(_header_fields(lines if isinstance(lines, list) else (), run))
    urls: dict[str, UploadUrl] = {}
    for file in map(mapping, files if isinstance(files, list) else ()):
        name, url = text(file.get("name")), text(file.get("uploadUrl"))
        if name is not None and url is not None:
            whole = base_url + url if url.startswith("/") and not url.startswith("//") else url
            urls[name] = UploadUrl(name=name, url=SecretUrl(whole), headers=headers)
    return urls


def _header_fields(lines: list[object] | tuple[()], run: RunPath) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = (line if isinstance(line, str) else "").partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise ApiError(
                f"The server requires a header field for uploads to the run {run} that cannot be sent.", status=200
            )
        if name.lower() not in _FRAMING:
            yield name, value


def parse_marks_uploads(data: Mapping[str, object]) -> bool:
    """Return whether the server has the mutation that marks uploaded files."""
    features = mapping(data.get("serverInfo")).get("features")
    listed = map(mapping, features if isinstance(features, list) else ())
    return any(feature.get("name") == MARKS_UPLOADS and feature.get("isEnabled") is True for feature in listed)


def check_marked(data: Mapping[str, object]) -> None:
    """Check the answer to a `MARK_RUN_FILES_UPLOADED`.

    Raises:
        ApiError: The server does not confirm success.
    """
    if mapping(data.get("markRunFilesUploaded")).get("success") is not True:
        raise ApiError("the server did not confirm that it knows of the uploaded files", status=200)
