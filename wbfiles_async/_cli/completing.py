"""Completion in shells: the scripts that request it, projects and their runs, and the names of a run's files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    get_completion_class,
)

from wbfiles_async import AsyncApi, TransferOptions, WBFilesError

SECONDS = 3.0
"""Seconds to wait for the server after the Tab key."""

MOST_NAMES = 100
"""As many as anybody reads."""

MOST_PROJECTS = 1000
"""Projects of an entity that are looked through; the server cannot search them."""

# The scripts of shells split and expand what they are given, and what begins with "-" would be read as an option.
_HARMLESS = re.compile(r"(?!-)[\w.,/@%+ -]+")


@add_completion_class
class _Bash(BashComplete):
    """Has bash put a backslash before each blank of a name, as zsh and fish do, and no blank behind a project."""

    source_template = BashComplete.source_template.replace(
        "    return 0\n", "    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace\n    return 0\n"
    )

    def format_completion(self, item: CompletionItem) -> str:
        quoted = item.value.replace(" ", "\\\\ ")  # click's script reads them without -r, which takes one away
        return f"{item.type},{quoted}"


@add_completion_class
class _Zsh(ZshComplete):
    """Has zsh put no blank behind a project; fish knows by itself that a slash is no end."""

    source_template = ZshComplete.source_template.replace(
        "        compadd -U -V unsorted -a completions\n",
        """\
        local -a unfinished=(${(M)completions:#*/}) finished=(${completions:#*/})
        (( $#unfinished )) && compadd -U -V unsorted -S '' -a unfinished
        (( $#finished )) && compadd -U -V unsorted -a finished
""",
    )


def completion_script(shell: str, program: click.Command) -> str:
    """Return what makes a shell complete ``wbfiles``."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # one of those that click knows
    return kind(program, {}, "wbfiles", "_WBFILES_COMPLETE").source()


def complete_names(run_path: str | None, incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return the run's files whose names begin so; none where the server does not say, or not at once."""
    return _complete(_names(run_path, incomplete, base_url)) if run_path else []


def complete_paths(incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return what a path may go on with: the default entity, an entity's projects, or the runs of a project.

    Of runs the latest ones if there are many; without an entity they are those of the project of the settings.
    """
    if "://" in incomplete:
        return []
    above, _, begun = incomplete.rpartition("/")
    match above.count("/") if above else None:
        case None:
            return _complete(_first_parts(begun, base_url))
        case 0:
            return _complete(_projects(above, begun, base_url))
        case 1:
            return _complete(_runs(above, begun, base_url))
        case _:
            return []


def _complete(work: Coroutine[object, object, list[str]]) -> list[CompletionItem]:
    try:
        found = asyncio.run(work)
    except (WBFilesError, TimeoutError, OSError):
        return []  # a message would land in the line that is being typed
    return [CompletionItem(value) for value in found if _HARMLESS.fullmatch(value)]


@asynccontextmanager
async def _asking(base_url: str | None) -> AsyncIterator[AsyncApi]:
    """Make a client that is patient for as long as the one who types."""
    async with AsyncApi(base_url=base_url, options=TransferOptions(attempts=1)) as api, asyncio.timeout(SECONDS):
        yield api


async def _first_parts(begun: str, base_url: str | None) -> list[str]:
    async with _asking(base_url) as api:
        settings = api._gateway.settings
        entity = settings.entity or await api._gateway.api.entity()
    found = await _runs("", begun, base_url) if settings.project else []
    return found + [f"{entity}/"] * entity.startswith(begun)


async def _projects(entity: str, begun: str, base_url: str | None) -> list[str]:
    async with _asking(base_url) as api:
        names: list[str] = []
        async with aclosing(api.projects(entity, per_page=MOST_NAMES).pages()) as pages:
            async for page in pages:
                names += [project.name for project in page]
                if len(names) >= MOST_PROJECTS:
                    break
    return [f"{entity}/{name}/" for name in names if name.startswith(begun)][:MOST_NAMES]


async def _runs(project: str, begun: str, base_url: str | None) -> list[str]:
    async with _asking(base_url) as api:
        filters = {"name": {"$regex": f"^{re.escape(begun)}"}} if begun else None  # W&B calls the id of a run its name
        runs = api.runs(project or None, filters, order="-created_at", per_page=MOST_NAMES)
        async with aclosing(runs.pages()) as pages:
            ids = [run.id for run in await anext(pages)]
    return [f"{project}/{each}" if project else each for each in ids if each.startswith(begun)]


async def _names(run_path: str, incomplete: str, base_url: str | None) -> list[str]:
    like = re.sub(r"([%_\\])", r"\\\1", incomplete) + "%"
    async with (
        _asking(base_url) as api,
        aclosing(api.run(run_path).files(pattern=like, per_page=MOST_NAMES).pages()) as pages,
    ):
        names = [file.name for file in await anext(pages)]
    return [name for name in names if name.startswith(incomplete)]
