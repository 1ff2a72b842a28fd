"""The options and arguments that several commands have, and what was given for those of all commands."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from typing import TypeVar

import attrs
import click
from click.shell_completion import CompletionItem

from wbfiles_async import AsyncApi, TransferOptions, __version__
from wbfiles_async._cli.completing import complete_names, complete_paths
from wbfiles_async._cli.output import Output

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")

log = logging.getLogger(__name__)

_TRUE = {"1", "true", "t", "yes", "y", "on"}
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


@attrs.define
class Common:
    """What can be given before a command and after it.

    Attributes:
        base_url: W&B's server; ``None`` for that of the settings.
        quiet: Whether to say nothing but errors.
        verbosity: How often ``-v`` was given.
        timeout: Seconds to wait for an answer of the API; ``None`` for that of the settings.
        retries: How often to try again; ``None`` for the default of the library.
    """

    base_url: str | None = None
    quiet: bool = attrs.field(factory=lambda: os.environ.get("WANDB_SILENT", "").strip().lower() in _TRUE)
    verbosity: int = 0
    timeout: float | None = None
    retries: int | None = None

    def output(self, *, as_json: bool = False) -> Output:
        """Return what the user wants to see."""
        level = _LEVELS[min(self.verbosity, len(_LEVELS) - 1)]
        return Output(quiet=self.quiet, json=as_json, log_level=logging.ERROR if self.quiet else level)

    def open_api(self, options: TransferOptions | None = None) -> AsyncApi:
        """Make the client of a command.

        Raises:
            WBFilesError: The settings or the credentials cannot be used.
        """
        options = options or TransferOptions()
        if self.retries is not None:
            options = attrs.evolve(options, attempts=self.retries + 1)
        api = AsyncApi(timeout=self.timeout, base_url=self.base_url, options=options)
        log.info("wbfiles %s, server %s", __version__, api._gateway.settings.base_url)
        return api


def _remember_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.ensure_object(Common).quiet |= value


def _remember_verbosity(context: click.Context, option: click.Parameter, value: int) -> None:
    context.ensure_object(Common).verbosity += value


def _remember_base_url(context: click.Context, option: click.Parameter, value: str | None) -> None:
    common = context.ensure_object(Common)
    common.base_url = value or common.base_url


def _remember_timeout(context: click.Context, option: click.Parameter, value: float | None) -> None:
    common = context.ensure_object(Common)
    common.timeout = common.timeout if value is None else value


def _remember_retries(context: click.Context, option: click.Parameter, value: int | None) -> None:
    common = context.ensure_object(Common)
    common.retries = common.retries if value is None else value


_quiet_option = click.option(
    "-q", "--quiet", is_flag=True, expose_value=False, callback=_remember_quiet,
    help="Say nothing but errors; also by WANDB_SILENT=true.",
)  # fmt: skip
_verbose_option = click.option(
    "-v", "--verbose", count=True, expose_value=False, callback=_remember_verbosity,
    help="Log to stderr what is done; -vv logs more.",
)  # fmt: skip
base_url_option = click.option(
    "--base-url", metavar="URL", expose_value=False, callback=_remember_base_url,
    help="W&B's server; else WANDB_BASE_URL, else W&B's cloud.",
)  # fmt: skip
_timeout_option = click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), expose_value=False,
    callback=_remember_timeout, help="How long to wait for an answer of the API.",
)  # fmt: skip
_retries_option = click.option(
    "--retries", metavar="N", type=click.IntRange(min=0), expose_value=False, callback=_remember_retries,
    help="How often to try a request again that failed without progress.  "
    f"[default: {TransferOptions().attempts - 1}]",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line, for programs.")


def speaking(command: F) -> F:
    """Add the options that say how much a command writes."""
    return _quiet_option(_verbose_option(command))


def connecting(command: F) -> F:
    """Add the options for the server, for how long to try, and for how much a command writes."""
    return base_url_option(_timeout_option(_retries_option(speaking(command))))


def read_by(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make an option's callback of a function that raises ``ValueError``."""

    def read(context: click.Context, option: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return read


def _paths_beginning_with(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return complete_paths(incomplete, context.ensure_object(Common).base_url)


def _names_beginning_with(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return complete_names(context.params.get("path"), incomplete, context.ensure_object(Common).base_url)


def path_argument(where: str) -> Callable[[F], F]:
    """Add the argument that names a run or a project, as the help calls it."""
    return click.argument("path", metavar=where, shell_complete=_paths_beginning_with)


names_argument = click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_names_beginning_with)


def selecting(where: str) -> Callable[[F], F]:
    """Add what chooses files.

    Args:
        where: What the first argument names, as the help calls it.
    """

    def decorated(command: F) -> F:
        for decorate in reversed(
            (
                path_argument(where),
                names_argument,
                click.option("--include", metavar="GLOB", multiple=True, help="Only names like this; may be repeated."),
                click.option("--exclude", metavar="GLOB", multiple=True, help="No names like this; may be repeated."),
                click.option("--pattern", metavar="LIKE", help="Only names like this SQL pattern, by the server."),
            )
        ):
            command = decorate(command)
        return command

    return decorated


def _read_filters(context: click.Context, option: click.Parameter, value: str | None) -> dict[str, object] | None:
    try:
        filters: object = None if value is None else json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"it is no JSON: {error}") from None
    if filters is None:
        return None
    if not isinstance(filters, dict):
        raise click.BadParameter("it is no JSON object, such as {}")
    return {str(key): condition for key, condition in filters.items()}


filters_option = click.option(
    "--filters", metavar="JSON", callback=_read_filters,
    help='Only the runs of PROJECT that meet W&B\'s filters, such as \'{"state": "finished"}\'.',
)  # fmt: skip
