"""Explains an empty selection, so that a typing error is not mistaken for success."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from wbfiles_async import AsyncRun, AsyncRuns
from wbfiles_async._cli.chosen import Chosen, SeveralRuns
from wbfiles_async._cli.ending import ExitCode, complain
from wbfiles_async._cli.output import Output
from wbfiles_async._text import counted

_NO_FILTERS = "{}"


async def explain_nothing(target: AsyncRun | AsyncRuns | SeveralRuns, chosen: Chosen, output: Output) -> ExitCode:
    """Report why no file, or no run, was selected.

    Returns:
        The exit code: not found, unless there are no files or all were excluded.

    Raises:
        WBFilesError: The files or runs cannot be counted.
    """
    if isinstance(target, SeveralRuns):
        count = len(target.runs)
        there, whose = f"there are {counted(count, 'run')}", "of their files"
    elif isinstance(target, AsyncRuns):
        count = await target.count()
        if not count:
            return await _explain_no_runs(target, output)
        there, whose = f"the project {target._path} has {counted(count, 'run')}", "of their files"
    else:
        count = await target.files().count()
        there, whose = f"the run {target._path} has {counted(count, 'file')}", "of them"
    if chosen.expects_files:
        complain(" ".join([f"{there}, and none {whose} matches {describe(chosen)}.", *hints(chosen)]))
        return ExitCode.NOT_FOUND
    output.say(f"No files: {there}, and --exclude leaves out all {whose}." if count and chosen else "No files.")
    return ExitCode.DONE


async def _explain_no_runs(target: AsyncRuns, output: Output) -> ExitCode:
    everything = 0 if target._filters == _NO_FILTERS else await attrs.evolve(target, filters=_NO_FILTERS).count()
    if not everything:
        output.say("No runs.")
        return ExitCode.DONE
    complain(
        f"the project {target._path} has {counted(everything, 'run')}, and none of them meets --filters "
        f"{target._filters}. "
        "Keys are W&B's, such as state, display_name, tags, config.NAME and summary_metrics.NAME."
    )
    return ExitCode.NOT_FOUND


def describe(chosen: Chosen) -> str:
    """Return the selecting options as typed."""
    selection = chosen.selection
    words = [f"--include '{glob}'" for glob in selection.include or ()]
    words += [f"--exclude '{glob}'" for glob in selection.exclude]
    if chosen.pattern is not None:
        words.append(f"--pattern '{chosen.pattern}'")
    return " ".join(words)


def hints(chosen: Chosen) -> Iterator[str]:
    """Yield suggestions for patterns that select nothing."""
    globs = chosen.selection.include or ()
    if any("," in glob for glob in globs):
        yield "A comma and braces stand for themselves: give --include once for each pattern."
    if any("[" in re.sub(r"\[!?\]?[^]]*\]", "", glob) for glob in globs):
        yield "A [ without its ] stands for itself."
    if any(glob.startswith(("/", "./")) for glob in globs):
        yield "Names of files begin with no / and no ./."
    if any(not re.search(r"[*?[,]", glob.rpartition("/")[2]) for glob in globs):
        yield "For all files of a folder put a / behind its name."
    if any(glob != glob.lower() for glob in globs):
        yield "Upper and lower case differ."
    if chosen.pattern is not None and "%" not in chosen.pattern:
        yield "In --pattern, % stands for any text; for * and ? use --include."
