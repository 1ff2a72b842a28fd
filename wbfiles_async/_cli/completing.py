"""Completion in shells: the scripts that request it, the runs of a project, and the names of a run's files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from contextlib import aclosing

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from wbfiles_async import AsyncApi, TransferOptions, WBFilesError

SECONDS = 3.0
"""Seconds to wait for the server after the Tab key."""

MOST_NAMES = 100
"""As many as anybody reads."""

# The scripts of shells split and expand what they are given, and what begins with "-" would be read as an option.
_HARMLESS = re.compile(r"(?!-)[\w.,/@%+ -]+")


@add_completion_class
class _Bash(BashComplete):
    """Has bash put a backslash before each blank of a name, as zsh and fish do themselves."""

    def format_completion(self, item: CompletionItem) -> str:
        quoted = item.value.replace(" ", "\\\\ ")  # click's script reads them without -r, which takes one away
        return f"{item.type},{quoted}"


def completion_script(shell: str, program: click.Command) -> str:
    """Return what makes a shell complete ``wbfiles``."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # one of those that click knows
    return kind(program, {}, "wbfiles", "_WBFILES_COMPLETE").source()


def complete_names(run_path: str | None, incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return the run's files whose names begin so; none where the server does not say, or not at once."""
    return _complete(_names(run_path, incomplete, base_url)) if run_path else []


def complete_paths(incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return the runs whose paths begin so, if the project is known; the latest ones where there are many."""
    project, _, begun = incomplete.rpartition("/")
    known = not project or (project.count("/") == 1 and "://" not in project)
    return _complete(_runs(project, begun, base_url)) if known else []


def _complete(work: Coroutine[object, object, list[str]]) -> list[CompletionItem]:
    try:
        found = asyncio.run(work)
    except (WBFilesError, TimeoutError, OSError):
        return []  # a message would land in the line that is being typed
    return [CompletionItem(value) for value in found if _HARMLESS.fullmatch(value)]


async def _runs(project: str, begun: str, base_url: str | None) -> list[str]:
    async with AsyncApi(base_url=base_url, options=TransferOptions(attempts=1)) as api, asyncio.timeout(SECONDS):
        filters = {"name": {"$regex": f"^{re.escape(begun)}"}} if begun else None  # W&B calls the id of a run its name
        runs = api.runs(project or None, filters, order="-created_at", per_page=MOST_NAMES)
        async with aclosing(runs.pages()) as pages:
            ids = [run.id for run in await anext(pages)]
    return [f"{project}/{each}" if project else each for each in ids if each.startswith(begun)]


async def _names(run_path: str, incomplete: str, base_url: str | None) -> list[str]:
    options = TransferOptions(attempts=1)
    like = re.sub(r"([%_\\])", r"\\\1", incomplete) + "%"
    async with (
        AsyncApi(base_url=base_url, options=options) as api,
        asyncio.timeout(SECONDS),
        aclosing(api.run(run_path).files(pattern=like, per_page=MOST_NAMES).pages()) as pages,
    ):
        names = [file.name for file in await anext(pages)]
    return [name for name in names if name.startswith(incomplete)]
