"""The options and arguments shared by several commands, and the values of the common ones."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import click
from click.shell_completion import CompletionItem

from wbfiles_async import AsyncApi, TransferOptions, __version__
from wbfiles_async._cli.amounts import parse_bytes
from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.completing import complete_names, complete_paths
from wbfiles_async._cli.output import Output
from wbfiles_async._cli.sections import SERVER, WHERE, WHICH, option
from wbfiles_async._download.selection import Selection
from wbfiles_async._options import PER_PAGE, RUNS_PER_PAGE

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")

log = logging.getLogger(__name__)

_TRUE = {"1", "true", "t", "yes", "y", "on"}
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


@attrs.define
class Common:
    """Options that are accepted before and after a command.

    Attributes:
        base_url: W&B's server; ``None`` for the one in the settings.
        quiet: Whether to print only errors.
        verbosity: The number of ``-v``.
        timeout: Seconds to wait for a response of the API; ``None`` for the one in the settings.
        transfer: Options of `TransferOptions`, by their names there.
        per_page: Files, or runs of a project, per request; ``None`` for the default of the library.
    """

    base_url: str | None = None
    quiet: bool = attrs.field(factory=lambda: os.environ.get("WANDB_SILENT", "").strip().lower() in _TRUE)
    verbosity: int = 0
    timeout: float | None = None
    transfer: dict[str, Any] = attrs.field(factory=dict)
    per_page: int | None = None

    def output(self, *, as_json: bool = False) -> Output:
        """Return the output options."""
        level = _LEVELS[min(self.verbosity, len(_LEVELS) - 1)]
        return Output(quiet=self.quiet, json=as_json, log_level=logging.ERROR if self.quiet else level)

    def open_api(self) -> AsyncApi:
        """Make the client of a command.

        Raises:
            WBFilesError: The settings, the options or the credentials cannot be used.
        """
        options = TransferOptions(**self.transfer)
        api = AsyncApi(timeout=self.timeout, base_url=self.base_url, options=options)
        log.info("wbfiles %s, server %s", __version__, api._gateway.settings.base_url)
        return api


def _remember_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.ensure_object(Common).quiet |= value


def _remember_verbosity(context: click.Context, option: click.Parameter, value: int) -> None:
    context.ensure_object(Common).verbosity += value


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    """Set the attribute of `Common` with the option's name; a value after the command wins."""
    if value:
        setattr(context.ensure_object(Common), option.name or "", value)


def _remember_retries(context: click.Context, option: click.Parameter, value: int | None) -> None:
    if value is not None:
        context.ensure_object(Common).transfer["attempts"] = value + 1


def _remember_transfer(context: click.Context, option: click.Parameter, value: object) -> None:
    """Set a field of `TransferOptions`; ``--no-NAME`` turns one off."""
    name = option.name or ""
    if value is not None and value is not False:
        field = name.removeprefix("no_")
        context.ensure_object(Common).transfer[field] = False if field != name else value


def read_by(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make an option's callback from a function that raises ``ValueError``."""

    def read(context: click.Context, option: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return read


def _transfer_option(section: str, *declarations: str, **attributes: Any) -> Callable[[F], F]:
    parse = attributes.pop("parse", None)

    def callback(context: click.Context, option: click.Parameter, value: Any) -> None:
        _remember_transfer(context, option, value if parse is None else read_by(parse)(context, option, value))

    return option(section, *declarations, expose_value=False, callback=callback, **attributes)


_SECONDS = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=1)
_DEFAULTS = TransferOptions()

_quiet_option = click.option(
    "-q", "--quiet", is_flag=True, expose_value=False, callback=_remember_quiet,
    help="Write errors only; also set by WANDB_SILENT=true.",
)  # fmt: skip
_verbose_option = click.option(
    "-v", "--verbose", count=True, expose_value=False, callback=_remember_verbosity,
    help="Log to stderr; -vv logs more.",
)  # fmt: skip
base_url_option = option(
    SERVER, "--base-url", metavar="URL", expose_value=False, callback=_remember,
    help="URL of W&B's server.  [default: WANDB_BASE_URL, else W&B's cloud]",
)  # fmt: skip
_timeout_option = option(
    SERVER, "--timeout", metavar="SECONDS", type=_SECONDS, expose_value=False, callback=_remember,
    help="Time limit for one response of the API.  [default: WANDB_HTTP_TIMEOUT, else 19]",
)  # fmt: skip
_retries_option = option(
    SERVER, "--retries", metavar="N", type=click.IntRange(min=0), expose_value=False, callback=_remember_retries,
    help=f"Maximum retries without progress.  [default: {_DEFAULTS.attempts - 1}]",
)  # fmt: skip
_per_page_option = option(
    SERVER, "--per-page", metavar="N", type=_COUNT, expose_value=False, callback=_remember,
    help=f"Files, or runs of PROJECT, to list in one request.  [default: {PER_PAGE}; {RUNS_PER_PAGE} runs]",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line, for programs.")

_STORE_OPTIONS = (
    _transfer_option(
        SERVER, "--private-stores", is_flag=True,
        help="Allow stores at private addresses though the server has a public one.",
    ),
    _transfer_option(
        SERVER, "--insecure-stores", is_flag=True,
        help="Allow plain http for files though the server uses https.",
    ),
    _transfer_option(
        SERVER, "--connect-timeout", metavar="SECONDS", type=_SECONDS,
        help=f"Time limit for connecting.  [default: {_DEFAULTS.connect_timeout:g}]",
    ),
    _transfer_option(
        SERVER, "--stall-seconds", metavar="SECONDS", type=_SECONDS,
        help="Abandon a connection that delivers fewer than --stall-bytes in this time."
        f"  [default: {_DEFAULTS.stall_seconds:g}]",
    ),
    _transfer_option(
        SERVER, "--stall-bytes", metavar="BYTES", parse=parse_bytes,
        help=f"Minimum bytes in --stall-seconds.  [default: {_DEFAULTS.stall_bytes}]",
    ),
    _transfer_option(
        SERVER, "--time-budget", metavar="SECONDS", type=_SECONDS,
        help=f"Time limit for retries of one file without progress.  [default: {_DEFAULTS.time_budget:g}]",
    ),
)  # fmt: skip
_FETCH_OPTIONS = (
    _transfer_option(WHERE, "--connections", metavar="N", type=_COUNT,
                     help=f"Maximum simultaneous requests, for files and parts.  [default: {_DEFAULTS.connections}]"),
    _transfer_option(WHERE, "--part-size", metavar="BYTES", parse=parse_bytes,
                     help=f"Size of the parts of large files.  [default: {_DEFAULTS.part_size >> 20}M]"),
    _transfer_option(WHERE, "--limit-rate", metavar="RATE", parse=parse_bytes,
                     help="Maximum bytes per second of all connections, such as 500k or 2M.  [default: no limit]"),
    _transfer_option(SERVER, "--api-requests", metavar="N", type=_SECONDS,
                     help="Maximum requests to the API per second.  [default: the server's own limits]"),
    _transfer_option(WHERE, "--no-verify", is_flag=True, help="Do not compare the md5 of downloaded files."),
    _transfer_option(WHERE, "--no-resume", is_flag=True,
                     help="Discard an interrupted large file instead of keeping it for resuming."),
    _transfer_option(WHERE, "--no-remember", is_flag=True,
                     help="Read every existing file, even if it is unchanged since it was verified."),
    _transfer_option(WHERE, "--durable", is_flag=True,
                     help="Flush each file to the disk before it counts as downloaded."),
    _transfer_option(WHERE, "--portable-names", is_flag=True, help="Refuse names that Windows cannot hold."),
)  # fmt: skip


_SEND_OPTIONS = (
    _transfer_option(WHERE, "--connections", metavar="N", type=_COUNT,
                     help=f"Maximum simultaneous uploads.  [default: {_DEFAULTS.connections}]"),
    _transfer_option(WHERE, "--limit-rate", metavar="RATE", parse=parse_bytes,
                     help="Maximum bytes per second of all connections, such as 500k or 2M.  [default: no limit]"),
    _transfer_option(WHERE, "--no-verify", is_flag=True,
                     help="Do not compare the md5 of uploaded files with the server's."),
)  # fmt: skip


def speaking(command: F) -> F:
    """Add the options for output."""
    return _quiet_option(_verbose_option(command))


def connecting(command: F) -> F:
    """Add the options for the server, for retries and timeouts, and for output."""
    return base_url_option(_timeout_option(_retries_option(speaking(command))))


def reading(command: F) -> F:
    """Add the options for reading from stores."""
    return _all_of(_STORE_OPTIONS, command)


def fetching(command: F) -> F:
    """Add the options for writing to the disk."""
    return _all_of(_FETCH_OPTIONS, command)


def sending(command: F) -> F:
    """Add the options for uploads."""
    return _all_of(_SEND_OPTIONS, command)


def _all_of(options: Sequence[Callable[[F], F]], command: F) -> F:
    for decorate in reversed(options):
        command = decorate(command)
    return command


def _paths_beginning_with(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return complete_paths(incomplete, context.ensure_object(Common).base_url)


def _names_beginning_with(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return complete_names(context.params.get("path"), incomplete, context.ensure_object(Common).base_url)


def path_argument(where: str) -> Callable[[F], F]:
    """Add the argument for a run or a project."""
    return click.argument("path", metavar=where, shell_complete=_paths_beginning_with)


names_argument = click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_names_beginning_with)


include_option = option(
    WHICH, "--include", metavar="GLOB", multiple=True, help="Only names that match this shell pattern; repeatable."
)
exclude_option = option(
    WHICH, "--exclude", metavar="GLOB", multiple=True, help="Not the names that match this shell pattern; repeatable."
)


def selecting(where: str) -> Callable[[F], F]:
    """Add the selecting options.

    Args:
        where: The name of the first argument in the help.
    """

    def decorated(command: F) -> F:
        for decorate in reversed(
            (
                path_argument(where),
                names_argument,
                include_option,
                exclude_option,
                option(
                    WHICH,
                    "--pattern",
                    metavar="LIKE",
                    help="Only names that match this SQL LIKE pattern; the server compares.",
                ),
                _per_page_option,
            )
        ):
            command = decorate(command)
        return command

    return decorated


def _read_filters(context: click.Context, option: click.Parameter, value: str | None) -> dict[str, object] | None:
    try:
        filters: object = None if value is None else json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"it is not JSON: {error}") from None
    if filters is None:
        return None
    if not isinstance(filters, dict):
        raise click.BadParameter("it is not a JSON object such as {}")
    return {str(key): condition for key, condition in filters.items()}


filters_option = option(
    WHICH, "--filters", metavar="JSON", callback=_read_filters,
    help='Only the runs of PROJECT that match these filters of W&B, such as \'{"state": "finished"}\'.',
)  # fmt: skip


def chosen_by(
    common: Common, names: tuple[str, ...], include: tuple[str, ...], exclude: tuple[str, ...], pattern: str | None
) -> Chosen:
    """Return which files the options of ``selecting`` choose.

    Raises:
        click.UsageError: Names were given, and other options that select.
    """
    if names and (include or exclude or pattern is not None):
        raise click.UsageError("Give NAMEs, or --include, --exclude and --pattern; not both.")
    return Chosen(names, pattern, Selection(include or None, exclude), common.per_page)
