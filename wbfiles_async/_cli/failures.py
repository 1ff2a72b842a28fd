"""Reports failed files: to people, a few of each kind; to programs, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter

from wbfiles_async._cli.ending import complain, explain, in_options
from wbfiles_async._download.results import KEPT
from wbfiles_async._reports import DeletionReport, DownloadReport, FileResult, UploadReport
from wbfiles_async._text import counted, printable
from wbfiles_async.errors import DestinationExistsError, WBFilesError

FAILURES_SHOWN = 10
"""Maximum failed files shown by name; ``--json`` shows all."""


def show_failures(report: DownloadReport | UploadReport | DeletionReport, name_of: Callable[[FileResult], str]) -> None:
    """Write to stderr which files failed and why.

    Args:
        report: The result.
        name_of: Returns the name to show for a file.
    """
    lines = [f"{report.failed:,} of {counted(report.files, 'file')} failed:"]
    causes: dict[str, list[FileResult]] = {}
    for result in _of_each_kind(report.failures)[:FAILURES_SHOWN]:
        causes.setdefault(_cause(result), []).append(result)
    for cause, results in causes.items():
        if len(results) == 1:
            lines.append(f"  {_reason(results[0], name_of)}")
        else:
            lines += [*(f"  {printable(name_of(result))}" for result in results), f"    {cause}"]
            if kept := sum(map(_is_kept, results)):
                lines.append(f"    What has arrived of {kept} of them is kept; the next download resumes there.")
    if report.failed > FAILURES_SHOWN:
        lines.append(f"  and {report.failed - FAILURES_SHOWN:,} more; --json lists all.")
    if not isinstance(report, DeletionReport) and report.stopped is not None:
        lines.append("No more files were started, since all would fail for the same reason.")
    complain("\n".join(lines))


def _cause(result: FileResult) -> str:
    """Return why a file failed, without its name: the same text for all files with the same cause."""
    error = result.error
    if error is None or isinstance(error, DestinationExistsError):
        return ""
    text = in_options(error.message).removeprefix(f"{result.name}: ")
    return printable(text.removeprefix(f"{getattr(error, 'path', '')} "))


def _is_kept(result: FileResult) -> bool:
    """Return whether received bytes were kept, so that the next download resumes there."""
    return any(note.startswith(KEPT) for note in getattr(result.error, "__notes__", ()))


def _of_each_kind(failures: Sequence[FileResult]) -> list[FileResult]:
    """Return the first failure of each kind, then the second of each, and so on, so that no kind hides another."""
    seen: Counter[type] = Counter()
    ranked: list[tuple[int, FileResult]] = []
    for failure in failures:
        kind = type(failure.error)
        ranked.append((seen[kind], failure))
        seen[kind] += 1
    return [failure for _, failure in sorted(ranked, key=itemgetter(0))]


def _reason(result: FileResult, name_of: Callable[[FileResult], str]) -> str:
    error = result.error
    if isinstance(error, DestinationExistsError):  # its message names arguments that commands do not have
        return printable(f"{error.path} already exists.")
    name, reason = printable(name_of(result)), "" if error is None else printable(explain(error))
    return reason if name in reason else f"{name}: {reason.removeprefix(f'{printable(result.name)}: ')}"


def described(error: WBFilesError | None) -> dict[str, str] | None:
    """Return an error in the form of the JSON output."""
    return None if error is None else {"type": type(error).__name__, "message": explain(error)}
