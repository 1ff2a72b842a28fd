"""What can be typed: the commands of ``wbfiles``, their options, and the words of their help."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
import click
from click.shell_completion import CompletionItem

from wbfiles_async import AsyncApi, AsyncRun, AsyncRuns, TransferOptions, WBFilesError, __version__
from wbfiles_async._cli.amounts import parse_bytes, parse_range
from wbfiles_async._cli.chosen import Chosen
from wbfiles_async._cli.completing import complete_names, completion_script
from wbfiles_async._cli.ending import ExitCode, StoppedError, complain, exit_code_of, explain, run
from wbfiles_async._cli.fetching import Fetch, get
from wbfiles_async._cli.listing import list_files, list_runs
from wbfiles_async._cli.output import Output
from wbfiles_async._cli.removing import Removal, remove
from wbfiles_async._cli.target import Filters, find_names, find_target
from wbfiles_async._cli.writing import write_file
from wbfiles_async._models import EXISTING, Existing
from wbfiles_async._protocol.selection import Selection
from wbfiles_async._settings import LAYOUT

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")

_TRUE = {"1", "true", "t", "yes", "y", "on"}
_FOLDER = click.Path(file_okay=False, path_type=Path)


def start(arguments: Sequence[str] | None) -> int:
    """Run the program and return its exit code; a user's mistake is told in words, never as a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the encoding lacks is still a name
    try:
        return int(
            program.main(arguments, prog_name="wbfiles", standalone_mode=False, windows_expand_args=False)
            or ExitCode.DONE
        )
    except StoppedError as stopped:
        return stopped.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"\nTry '{context.command_path} --help'." if context is not None else ""
        complain(error.format_message() + hint)
        return error.exit_code
    except WBFilesError as error:
        complain(explain(error))
        return exit_code_of(error)
    except OSError as error:
        complain(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return ExitCode.FAILED


@attrs.define
class Common:
    """What can be given before a command and after it."""

    base_url: str | None = None
    quiet: bool = attrs.field(factory=lambda: os.environ.get("WANDB_SILENT", "").strip().lower() in _TRUE)


def _remember_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.ensure_object(Common).quiet |= value


def _remember_base_url(context: click.Context, option: click.Parameter, value: str | None) -> None:
    common = context.ensure_object(Common)
    common.base_url = value or common.base_url


quiet_option = click.option(
    "-q", "--quiet", is_flag=True, expose_value=False, callback=_remember_quiet,
    help="Say nothing but errors; also by WANDB_SILENT=true.",
)  # fmt: skip
base_url_option = click.option(
    "--base-url", metavar="URL", expose_value=False, callback=_remember_base_url,
    help="W&B's server; else WANDB_BASE_URL, else W&B's cloud.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line, for programs.")


def _read_by(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """Make an option's callback of a function that raises ``ValueError``."""

    def read(context: click.Context, option: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return read


def _names_beginning_with(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return complete_names(context.params.get("path"), incomplete, context.ensure_object(Common).base_url)


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


def _selecting(where: str) -> Callable[[F], F]:
    """Add what chooses files.

    Args:
        where: What the first argument names, as the help calls it.
    """

    def decorated(command: F) -> F:
        for decorate in reversed(
            (
                click.argument("path", metavar=where),
                click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_names_beginning_with),
                click.option("--include", metavar="GLOB", multiple=True, help="Only names like this; may be repeated."),
                click.option("--exclude", metavar="GLOB", multiple=True, help="No names like this; may be repeated."),
                click.option("--pattern", metavar="LIKE", help="Only names like this SQL pattern, by the server."),
            )
        ):
            command = decorate(command)
        return command

    return decorated


class _Program(click.Group):
    """Lists the commands in the order in which one meets them, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit codes:
    0  all done                         3  credentials missing or refused
    1  some files failed, or it could   4  run or files not found
       not be done at all             130  interrupted (143 by SIGTERM)
    2  wrong usage                    141  nobody reads the output any more
""",
)
@base_url_option
@quiet_option
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """List, fetch and delete the files of Weights & Biases runs.

    RUN is entity/project/run_id, or the address of the run's page; that of a file's or a folder's page selects
    this file or folder. A part of the path that is left out comes from
    WANDB_ENTITY, WANDB_PROJECT or W&B's settings files. PROJECT is entity/project/ or the address of its page.
    Without the last slash it is a project too, unless the default entity has a run of that path, project/run_id.

    Credentials come from WANDB_API_KEY, WANDB_IDENTITY_TOKEN_FILE or the netrc file. There is no option for
    them, since everybody on a machine can read the command lines of its processes.

    No account at hand? `wbfiles demo` needs none.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@program.command("ls")
@_selecting("RUN|PROJECT")
@filters_option
@json_option
@base_url_option
@quiet_option
@click.pass_obj
def ls_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    as_json: bool,
) -> int:
    r"""List the files of RUN: all of them, or those of these exact NAMEs; or the runs of PROJECT.

    A table on a terminal. Elsewhere one line a file, with tabs between name, size in bytes, type, time of the
    last change and md5; "-" where the server does not know. With --json the keys are name, size, md5, mimetype,
    updated_at and path_uri; of a run path, id, name, state and created_at, and without it these but the first.

    Control characters in names are written as escapes, such as \x1b.
    """
    asked, output = _choose(names, include, exclude, pattern), Output(quiet=common.quiet, json=as_json)

    async def work() -> int:
        async with AsyncApi(base_url=common.base_url) as api:
            target, chosen = await find_target(api, path, asked, filters)
            if isinstance(target, AsyncRun):
                return await list_files(target, chosen, output)
            if chosen:
                raise click.UsageError(f"{path} is a project, and NAMEs and globs choose files; name one of its runs.")
            return await list_runs(target, chosen, output)

    return run(work, quiet=common.quiet)


@program.command("get")
@_selecting("RUN|PROJECT")
@filters_option
@click.option(
    "-o", "--root", type=_FOLDER, default=Path(), help="Folder the files go below.  [default: the current one]"
)
@click.option(
    "--existing", type=click.Choice(EXISTING), default="verify", show_default=True,
    help="A file that is there already: keep it if size and md5 are right; keep it as it is; replace it; or fail.",
)  # fmt: skip
@click.option(
    "--layout", metavar="FOLDERS",
    help="Where below the root the files of each run of PROJECT go, with {entity}, {project} and {run} for its own; "
    f"'' for no folder.  [default: {LAYOUT}]",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only tell what would be fetched.")
@click.option("--connections", metavar="N", type=click.IntRange(min=1), default=TransferOptions().connections,
              show_default=True, help="Simultaneous requests, files and parts of files together.")  # fmt: skip
@click.option("--limit-rate", metavar="RATE", callback=_read_by(parse_bytes),
              help="Bytes a second of all connections together, such as 500k or 2M.  [default: no limit]")  # fmt: skip
@click.option("--no-verify", is_flag=True, help="Do not compare what is fetched with its md5.")
@click.option(
    "--no-remember",
    is_flag=True,
    help="Read every file that is there, though unchanged since it was right; keep no .wbfiles-state.",
)
@json_option
@base_url_option
@quiet_option
@click.pass_obj
def get_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    root: Path,
    layout: str | None,
    existing: Existing,
    dry_run: bool,
    connections: int,
    limit_rate: int | None,
    no_verify: bool,
    no_remember: bool,
    as_json: bool,
) -> int:
    """Fetch the files of RUN, or of all runs of PROJECT: all of them, or those of these exact NAMEs.

    Each file appears at its place only when it is whole and checked. One file's failure does not stop the others;
    run the same command again to fetch what is missing.

    A terminal shows the progress. Elsewhere stdout gets one line a file, with tabs between name, size in bytes and
    status (downloaded, kept, planned). With --json it gets one object a file, with the keys run, name, status, path,
    size, verified, parts, resumed and error, and at the end one with the key summary.

    Where the run lacks some of the NAMEs the others are fetched, and the exit code is 1; where it has none of them, 4.
    Of a project, a NAME counts as lacking where no run has it.
    """
    asked, output = _choose(names, include, exclude, pattern), Output(quiet=common.quiet, json=as_json)
    options = TransferOptions(
        connections=connections, limit_rate=limit_rate, verify=not no_verify, remember=not no_remember
    )

    async def work() -> int:
        async with AsyncApi(base_url=common.base_url, options=options) as api:
            target, chosen = await find_target(api, path, asked, filters)
            if isinstance(target, AsyncRun) and layout is not None:
                raise click.UsageError(f"{path} is a run, and --layout is for projects; use --root.")
            if isinstance(target, AsyncRuns) and chosen.pattern is not None:
                raise click.UsageError(f"{path} is a project, and --pattern is for runs; use --include.")
            fetch = Fetch(
                target=target,
                chosen=chosen,
                root=root,
                existing=existing,
                dry_run=dry_run,
                layout=LAYOUT if layout is None else layout,
            )
            return await get(fetch, output)

    return run(work, quiet=common.quiet)


@program.command("cat", short_help="Write the bytes of one file to stdout.")
@click.argument("path", metavar="RUN")
@click.argument("name", metavar="NAME", required=False, shell_complete=_names_beginning_with)
@click.option("--range", "span", metavar="START:STOP", callback=_read_by(parse_range),
              help="Only these bytes, from START, counted from 0, to before STOP; each may be left out.")  # fmt: skip
@base_url_option
@quiet_option
@click.pass_obj
def cat_command(common: Common, path: str, name: str | None, span: tuple[int, int | None] | None) -> int:
    """Write the bytes of the file NAME of RUN to stdout, as they come and unchanged.

    The address of a file's page can be given in place of RUN and NAME.

    At the end the md5 of a whole file is compared. Where it is wrong the exit code is 1, and what was written must
    not be used; `wbfiles get` would not have put the file in place.
    """
    start, stop = span or (0, None)

    async def work() -> int:
        async with AsyncApi(base_url=common.base_url) as api:
            run, names = find_names(api, path, (name,) if name else ())
            return await write_file(await run.file(names[0]), start, stop)

    return run(work, quiet=common.quiet)


@program.command("rm", short_help="Delete files of a run on the server.")
@_selecting("RUN")
@click.option("--all", "everything", is_flag=True, help="All files of the run.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@base_url_option
@quiet_option
@click.pass_obj
def rm_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Delete files of RUN on the server: those of these exact NAMEs, or those that the options choose.

    Asks before it deletes, with the number of the files and their size; what is added meanwhile is not deleted. Where
    nobody can be asked, --yes is needed. A file that has gone already counts as deleted.

    stdout gets one line a file, with tabs between name, size in bytes and status (deleted, planned), unless it is a
    terminal that shows the progress. With --json it gets one object a file, with the keys name, status, size and
    error, and at the end one with the key summary.
    """
    removal = Removal(
        run=path,
        chosen=_choose(names, include, exclude, pattern),
        everything=everything,
        base_url=common.base_url,
        dry_run=dry_run,
        yes=yes,
    )
    return remove(removal, Output(quiet=common.quiet, json=as_json))


@program.command("serve", short_help="Serve a folder as a W&B server would, for tests.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65535), default=0, help="Port of the API.  [default: a free one]"
)
@click.option("--api-key", metavar="KEY", help="The key to accept, of your own making.  [default: a fake one]")
@quiet_option
@click.pass_obj
def serve_command(common: Common, folder: Path, host: str, port: int, api_key: str | None) -> int:
    """Serve DIR as a W&B server would, for tests and trials, until Ctrl-C.

    The folder holds DIR/<entity>/<project>/<run>/<files>; what is put there is served at once. stdout gets the
    lines that make wbfiles, and wandb itself, use this server. Whoever knows the key may change the folder.

    Ctrl-C and SIGTERM are how it ends: exit code 0.
    """
    from wbfiles_async._cli.serving import serve

    return serve(folder, host=host, port=port, api_key=api_key, output=Output(quiet=common.quiet))


@program.command("demo", short_help="Fetch a sample run on this machine; needs no account.")
@click.option("-o", "--root", type=_FOLDER, default=Path("wbfiles-demo"), show_default=True, help="Where to.")
@quiet_option
@click.pass_obj
def demo_command(common: Common, root: Path) -> int:
    """Fetch a sample run from a server on this machine; no account needed.

    Serves a sample run on a free port, fetches it, and shows what happened. Nothing is left but the folder.
    """
    from wbfiles_async._cli.demo import demo

    return demo(root, Output(quiet=common.quiet))


@program.command("completion", short_help="Print what makes a shell complete wbfiles.", epilog="""\b
bash:  eval "$(wbfiles completion bash)"   in ~/.bashrc
zsh:   eval "$(wbfiles completion zsh)"    in ~/.zshrc, after compinit
fish:  wbfiles completion fish | source    in ~/.config/fish/config.fish
""")  # fmt: skip
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion_command(shell: str) -> int:
    """Print what makes a shell complete commands, options, and the names of a run's files.

    Names are asked of the server at each press of the tabulator key, with the credentials that are there; where it
    does not answer within three seconds there are none.
    """
    click.echo(completion_script(shell, program))
    return ExitCode.DONE


def _choose(names: tuple[str, ...], include: tuple[str, ...], exclude: tuple[str, ...], pattern: str | None) -> Chosen:
    if names and (include or exclude or pattern is not None):
        raise click.UsageError("Give NAMEs, or --include, --exclude and --pattern; not both.")
    return Chosen(names, pattern, Selection(include or None, exclude))
