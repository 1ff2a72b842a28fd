"""Completion in shells: what makes them ask, and the names of a run's files."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

import click
from click.shell_completion import CompletionItem, get_completion_class

from wbfiles_async import AsyncApi, TransferOptions, WBFilesError

SECONDS = 3.0
"""How long somebody who pressed the tabulator key waits for the server."""

MOST_NAMES = 100
"""As many as anybody reads."""

# The scripts of shells split and expand what they are given.
_HARMLESS = re.compile(r"[\w.,/@%+-]+")


def completion_script(shell: str, program: click.Command) -> str:
    """Return what makes a shell complete ``wbfiles``."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # one of those that click knows
    return kind(program, {}, "wbfiles", "_WBFILES_COMPLETE").source()


def complete_names(run_path: str | None, incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return the run's files whose names begin so; none where the server does not say, or not at once."""
    if not run_path:
        return []
    try:
        names = asyncio.run(_names(run_path, incomplete, base_url))
    except (WBFilesError, TimeoutError, OSError):
        return []  # a message would land in the line that is being typed
    return [CompletionItem(name) for name in names]


async def _names(run_path: str, incomplete: str, base_url: str | None) -> list[str]:
    options = TransferOptions(attempts=1)
    like = re.sub(r"([%_\\])", r"\\\1", incomplete) + "%"
    async with (
        AsyncApi(base_url=base_url, options=options) as api,
        asyncio.timeout(SECONDS),
        aclosing(api.run(run_path).files(pattern=like, per_page=MOST_NAMES).pages()) as pages,
    ):
        names = [file.name for file in await anext(pages)]
    return [name for name in names if name.startswith(incomplete) and _HARMLESS.fullmatch(name)]
