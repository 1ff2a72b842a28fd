"""Shell completion: the scripts, and completion of projects, runs and names of files."""

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
"""Maximum number of completions."""

MOST_PROJECTS = 1000
"""Maximum projects of an entity to list, since the server cannot search them."""

# Shells split and expand completions, and a name that begins with "-" would be read as an option.
_HARMLESS = re.compile(r"(?!-)[\w.,/@%+ -]+")


@add_completion_class
class _Bash(BashComplete):
    """Makes bash escape blanks in names, like zsh and fish, and append no blank to a project."""

    source_template = BashComplete.source_template.replace(
        "    return 0\n", "    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace\n    return 0\n"
    )

    def format_completion(self, item: CompletionItem) -> str:
        quoted = item.value.replace(" ", "\\\\ ")  # click's script reads them without -r, which takes one away
        return f"{item.type},{quoted}"


@add_completion_class
class _Zsh(ZshComplete):
    """Makes zsh append no blank to a project; fish appends none after a slash."""

    source_template = ZshComplete.source_template.replace(
        "        compadd -U -V unsorted -a completions\n",
        """\
        local -a unfinished=(${(M)completions:#*/}) finished=(${completions:#*/})
        (( $#unfinished )) && compadd -U -V unsorted -S '' -a unfinished
        (( $#finished )) && compadd -U -V unsorted -a finished
""",
    )


def completion_script(shell: str, program: click.Command) -> str:
    """Return the completion script of a shell."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # one of those that click knows
    return kind(program, {}, "wbfiles", "_WBFILES_COMPLETE").source()


def complete_names(run_path: str | None, incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return the run's files with this prefix; none if the server does not respond quickly."""
    return _complete(_names(run_path, incomplete, base_url)) if run_path else []


def complete_paths(incomplete: str, base_url: str | None) -> list[CompletionItem]:
    """Return completions of a path: the default entity, an entity's projects, or the runs of a project.

    If there are many runs, the latest; without an entity, those of the project of the settings.
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
        return []  # a message would appear in the line being typed
    return [CompletionItem(value) for value in found if _HARMLESS.fullmatch(value)]


@asynccontextmanager
async def _open_api(base_url: str | None) -> AsyncIterator[AsyncApi]:
    """Make a client with short timeouts, since the user is waiting."""
    async with AsyncApi(base_url=base_url, options=TransferOptions(attempts=1)) as api, asyncio.timeout(SECONDS):
        yield api


async def _first_parts(begun: str, base_url: str | None) -> list[str]:
    async with _open_api(base_url) as api:
        settings = api._gateway.settings
        entity = settings.entity or await api._gateway.api.entity()
    found = await _runs("", begun, base_url) if settings.project else []
    return found + [f"{entity}/"] * entity.startswith(begun)


async def _projects(entity: str, begun: str, base_url: str | None) -> list[str]:
    async with _open_api(base_url) as api:
        names: list[str] = []
        async with aclosing(api.projects(entity, per_page=MOST_NAMES).pages()) as pages:
            async for page in pages:
                names += [project.name for project in page]
                if len(names) >= MOST_PROJECTS:
                    break
    return [f"{entity}/{name}/" for name in names if name.startswith(begun)][:MOST_NAMES]


async def _runs(project: str, begun: str, base_url: str | None) -> list[str]:
    async with _open_api(base_url) as api:
        filters = {"name": {"$regex": f"^{re.escape(begun)}"}} if begun else None  # W&B calls the id of a run its name
        runs = api.runs(project or None, filters, order="-created_at", per_page=MOST_NAMES)
        async with aclosing(runs.pages()) as pages:
            ids = [run.id for run in await anext(pages)]
    return [f"{project}/{each}" if project else each for each in ids if each.startswith(begun)]


async def _names(run_path: str, incomplete: str, base_url: str | None) -> list[str]:
    like = re.sub(r"([%_\\])", r"\\\1", incomplete) + "%"
    async with (
        _open_api(base_url) as api,
        aclosing(api.run(run_path).files(pattern=like, per_page=MOST_NAMES).pages()) as pages,
    ):
        names = [file.name for file in await anext(pages)]
    return [name for name in names if name.startswith(incomplete)]
