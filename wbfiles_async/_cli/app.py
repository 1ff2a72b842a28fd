"""The commands of ``wbfiles``: their arguments, options and help texts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TextIO

import click
from attrs import evolve

from wbfiles_async import AsyncRun, AsyncRuns, __version__
from wbfiles_async._bucket.roots import BucketRoot
from wbfiles_async._cli.amounts import parse_range
from wbfiles_async._cli.chosen import Chosen, SeveralRuns
from wbfiles_async._cli.completing import completion_script
from wbfiles_async._cli.ending import ExitCode, complain, run
from wbfiles_async._cli.fetching import Fetch, get
from wbfiles_async._cli.installing import SHELLS, Shell, install, plan_installation, shell_of, uninstall
from wbfiles_async._cli.listing import SORTS, Sort, list_files, list_runs
from wbfiles_async._cli.mirroring import Leftovers, check_mirror, find_leftovers, remove_leftovers
from wbfiles_async._cli.options import (
    Common,
    connecting,
    exclude_option,
    fetching,
    filters_option,
    include_option,
    json_option,
    names_argument,
    path_argument,
    read_by,
    reading,
    selecting,
    sending,
    speaking,
)
from wbfiles_async._cli.putting import Put, put
from wbfiles_async._cli.removing import DELETE_EVERYTHING, Removal, remove
from wbfiles_async._cli.reporting import PlaceType, report
from wbfiles_async._cli.sections import OTHER, SERVER, WHERE, WHICH, SectionedCommand, option
from wbfiles_async._cli.target import Filters, explained, find_names, find_several, find_target, run_of
from wbfiles_async._cli.usage import BYS, By, Usage, tell_usage
from wbfiles_async._cli.writing import write_files
from wbfiles_async._download.layout import Layout
from wbfiles_async._download.selection import Selection
from wbfiles_async._graphql.shares import Share, parse_share
from wbfiles_async._models import EXISTING, Existing
from wbfiles_async._options import LAYOUT
from wbfiles_async._settings import home_folder

_PORT = click.IntRange(0, 65535)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Root(click.Path):
    """A folder, or the URL of a place in an object store, which is left as it is."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            return value
        return super().convert(value, param, ctx)


class _Program(click.Group):
    """Lists the commands in the order in which one meets them, not by the alphabet."""

    command_class = SectionedCommand

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit codes:
    0  success                          3  credentials missing or refused
    1  some files failed, or the        4  run or files not found
       command failed as a whole      130  interrupted (143 by SIGTERM)
    2  wrong usage                    141  the reader of the output is gone
""",
)
@connecting
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """List, download, upload and delete the files of Weights & Biases runs.

    RUN is entity/project/run_id, or the URL of the run's page. The URL of a file's or folder's page selects that file
    or folder. Missing parts of a path come from WANDB_ENTITY, WANDB_PROJECT or W&B's settings files.

    PROJECT is entity/project/, or the URL of its page. The last slash may be left out, unless the default entity has a
    run with the path project/run_id.

    Credentials come from WANDB_API_KEY, WANDB_IDENTITY_TOKEN_FILE or the netrc file. There is no option for them,
    since other users of a machine can read its command lines.

    No account? `wbfiles demo` needs none.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@program.command("ls")
@selecting("RUN|PROJECT")
@filters_option
@option(
    OTHER, "--sort", type=click.Choice(SORTS),
    help="Sort by name; by size, largest first; or by last change, latest first.  [default: as listed]",
)  # fmt: skip
@option(WHICH, "--files", "all_files", is_flag=True, help="List the files of all runs of PROJECT, not its runs.")
@json_option
@connecting
@click.pass_obj
def ls_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    sort: Sort | None,
    all_files: bool,
    as_json: bool,
) -> int:
    r"""List the files of RUN, all or those with these exact NAMEs; or list the runs of PROJECT.

    With --files, NAMEs, --include or --exclude, the files of all runs of PROJECT are listed, as run/name.

    A terminal shows a table. Otherwise each file is one line, with tabs between name, size in bytes, type, time of the
    last change and md5; "-" means unknown. The line of a run has id, name, state and creation time.

    With --json the keys of a file are name, size, md5, mimetype, updated_at and path_uri, and run for files of a
    project; those of a run are path, id, name, state and created_at.

    Control characters in names are written as escapes, such as \x1b.
    """
    asked, output = _choose(common, names, include, exclude, pattern), common.output(as_json=as_json)

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                target, chosen = await find_target(api, path, asked, filters)
                _check_project(target, chosen, path)
                if isinstance(target, AsyncRun) or chosen or all_files:
                    return await list_files(target, chosen, output, sort)
                return await list_runs(target, chosen, output, sort)

    return run(work, output.log_level)


@program.command("get")
@selecting("RUN|PROJECT")
@option(
    WHICH, "--run", "others", metavar="RUN", multiple=True,
    help="Another run, whose files are selected in the same way; repeatable. Each run gets its own folder.",
)  # fmt: skip
@filters_option
@option(
    WHERE, "-o", "--root", metavar="FOLDER", type=_Root(), default=Path(),
    help="Local folder to write below, or s3://bucket/prefix, gs://..., az://...  [default: the current folder]",
)  # fmt: skip
@option(
    WHICH, "--shard", metavar="I/N", callback=read_by(parse_share),
    help="Only share I of N of PROJECT's runs, counted from 0, for N machines with a common root. A run is always in "
    "the same share; the files of very large runs are divided among all shares.",
)  # fmt: skip
@option(
    WHERE, "--existing", type=click.Choice(EXISTING), default="verify", show_default=True,
    help="What to do with an existing file: keep it if size and md5 are right; keep it as it is; replace it; or fail.",
)  # fmt: skip
@option(
    WHERE, "--layout", metavar="FOLDERS",
    help="Folders below the root for the files of each of several runs, from {entity}, {project} and {run}; "
    f"'' for none.  [default: {LAYOUT}]",
)  # fmt: skip
@option(WHERE, "-n", "--dry-run", is_flag=True, help="Only show what would be downloaded, and what removed.")
@option(
    WHERE, "--delete", "mirror", is_flag=True,
    help="Afterwards remove local files that PROJECT no longer has, after a question; see above.",
)  # fmt: skip
@option(WHERE, "-y", "--yes", is_flag=True, help="Do not ask before --delete removes files.")
@option(
    WHICH, "--files-from", metavar="FILE", type=click.File(encoding="utf-8"),
    help="Read further NAMEs from this file, one per line; - for stdin.",
)  # fmt: skip
@option(
    WHERE, "--manifest", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result of each file to FILE: JSON lines, or parquet if it ends with .parquet (needs pyarrow).",
)  # fmt: skip
@fetching
@json_option
@connecting
@reading
@click.pass_obj
def get_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    others: tuple[str, ...],
    filters: Filters,
    root: Path | str,
    layout: str | None,
    shard: Share | None,
    existing: Existing,
    dry_run: bool,
    mirror: bool,
    yes: bool,
    files_from: TextIO | None,
    manifest: Path | None,
    as_json: bool,
) -> int:
    """Download the files of RUN, or of all runs of PROJECT: all files, or those with these exact NAMEs.

    A file appears at its path only when it is complete and verified. If one file fails, the others are still
    downloaded; run the same command again to download what is missing.

    A terminal shows the progress. Otherwise stdout gets one line per file, with tabs between name, size in bytes and
    status (downloaded, kept, planned). With --json it gets one object per file, with the keys run, name, status, path,
    size, verified, parts, resumed and error, and at the end one with the key summary.

    If some NAMEs do not exist, the others are downloaded and the exit code is 1; if none exists, it is 4. With several
    runs, a NAME exists if one of them has it.

    --delete removes files only after every download has succeeded, and only in folders that it knows to hold one run:
    it marks them with .wbfiles-run while they hold nothing else. Symbolic links are neither followed nor removed. Files
    that --include and --exclude leave out stay. stdout gets one line per file, with the status removed (removable in a
    dry run).

    A --manifest is written at the end, with the keys run, name, path, size, md5, status, verified and error for each
    file; `wbfiles report` summarizes manifests.
    """
    if files_from is not None:
        names += _names_in(files_from)
    if address := next((name for name in names if "://" in name), None):
        raise click.UsageError(f"{address} is the URL of a page, not a NAME; name further runs with --run.")
    asked, output = _choose(common, names, include, exclude, pattern), common.output(as_json=as_json)

    layout_text = LAYOUT if layout is None else layout
    if mirror:
        check_mirror(layout_text, root, is_shard=shard is not None, asks=not (yes or dry_run))
    leftovers: list[Leftovers] = []

    async def work() -> int:
        target: AsyncRun | AsyncRuns | SeveralRuns
        async with common.open_api() as api:
            with explained(path):
                if others:
                    if filters is not None:
                        raise click.UsageError(
                            "--filters selects runs of a project and --run names them; use one of the two."
                        )
                    if common.per_page is not None:
                        raise click.UsageError("--per-page is for one run or a project; leave out --run.")
                    target, chosen = find_several(api, (path, *others)), asked
                else:
                    target, chosen = await find_target(api, path, asked, filters)
                if shard is not None:
                    if not isinstance(target, AsyncRuns):
                        raise click.UsageError(f"--shard is for projects, and {path} is not a project.")
                    target = evolve(target, share=shard)
                if isinstance(target, AsyncRun) and layout is not None:
                    raise click.UsageError(f"{path} is a run, and --layout is for projects; use --root.")
                _check_project(target, chosen, path)
                fetch = Fetch(
                    target=target,
                    chosen=chosen,
                    root=root,
                    existing=existing,
                    dry_run=dry_run,
                    layout=layout_text,
                    manifest=manifest,
                )
                if mirror and not isinstance(target, AsyncRuns):
                    raise click.UsageError(f"--delete is for projects, and {path} is not a project.")
                code = await get(fetch, output)
                if mirror and isinstance(target, AsyncRuns) and isinstance(root, Path):
                    if code != ExitCode.DONE:
                        complain("nothing was removed, since the download is not complete.")
                        return code
                    selection, folders = Selection(chosen.include, exclude), Layout(layout_text)
                    leftovers.append(await find_leftovers(target, selection, root, folders, dry_run=dry_run))
                return code

    code = run(work, output.log_level)
    return remove_leftovers(leftovers[0], output, dry_run=dry_run, yes=yes) if leftovers else code


@program.command("put", short_help="Upload files and folders to a run.")
@path_argument("RUN")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@include_option
@exclude_option
@option(
    WHERE, "-o", "--root", metavar="FOLDER", type=_FOLDER, default=Path(),
    help="Folder that names in the run are relative to.  [default: the current folder]",
)  # fmt: skip
@option(
    WHERE, "--existing", type=click.Choice(EXISTING), default="verify", show_default=True,
    help="What to do with a file that RUN has: keep it if its md5 is equal; keep it as it is; replace it; or fail.",
)  # fmt: skip
@option(WHERE, "-n", "--dry-run", is_flag=True, help="Only show what would be uploaded.")
@sending
@json_option
@connecting
@reading
@click.pass_obj
def put_command(
    common: Common,
    path: str,
    paths: tuple[Path, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    root: Path,
    existing: Existing,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Upload files, and all files of folders, to RUN.

    `wbfiles put RUN out/model.pt` uploads the file as out/model.pt; with --root out its name is model.pt. To upload
    what `wbfiles get RUN --root FOLDER` downloaded: `wbfiles put RUN FOLDER --root FOLDER`.

    Each file is sent by one request and then verified on the server. Until all of it has arrived, the run keeps its old
    file. Files that the run already has are not sent again, so repeat the same command to continue after a failure.
    Symbolic links in folders are not followed. If one file fails, the others are still uploaded.

    A terminal shows the progress. Otherwise stdout gets one line per file, with tabs between name, size in bytes and
    status (uploaded, kept, planned). With --json it gets one object per file, with the keys run, name, status, path,
    size, verified and error, and at the end one with the key summary.
    """
    selection, output = Selection(include or None, exclude), common.output(as_json=as_json)

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                wanted = Put(
                    run=run_of(api, path),
                    paths=paths,
                    root=root,
                    selection=selection,
                    existing=existing,
                    dry_run=dry_run,
                )
                return await put(wanted, output)

    return run(work, output.log_level)


@program.command("du", short_help="Sum up the sizes of files, by run, folder or pattern.")
@selecting("RUN|PROJECT")
@filters_option
@click.option("--by", type=click.Choice(BYS),
              help="Sum up by run of PROJECT; by folder; or by pattern of --include, or by extension without any.  "
                   "[default: run for PROJECT, folder for RUN]")  # fmt: skip
@click.option("-d", "--depth", metavar="N", type=click.IntRange(min=0), default=1, show_default=True,
              help="Levels of folders to show; a run of PROJECT counts as one.")  # fmt: skip
@json_option
@connecting
@click.pass_obj
def du_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    by: By | None,
    depth: int,
    as_json: bool,
) -> int:
    """Sum up the sizes of the files of RUN or PROJECT, by run, by folder or by pattern, largest first.

    The last line, ".", is the sum of all files, each counted once. If stdout is not a terminal, there are tabs between
    size in bytes, number of files and folder. With --json the keys are folder (or pattern), size and files.
    """
    asked, output = _choose(common, names, include, exclude, pattern), common.output(as_json=as_json)

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                target, chosen = await find_target(api, path, asked, filters)
                _check_project(target, chosen, path)
                if by == "run" and isinstance(target, AsyncRun):
                    raise click.UsageError(f"{path} is a run, and --by run is for projects.")
                return await tell_usage(target, chosen, output, Usage(by, depth))

    return run(work, output.log_level)


@program.command("report", short_help="Summarize manifests of downloads, and list what is missing.")
@click.argument("paths", metavar="MANIFEST|FOLDER...", nargs=-1, required=True, type=PlaceType())
@json_option
@speaking
@click.pass_obj
def report_command(common: Common, paths: tuple[Path | BucketRoot, ...], as_json: bool) -> int:
    """Summarize the manifests that `wbfiles get --manifest` or the chunks of a plan wrote, and list what is missing.

    FOLDER stands for all manifests in it, and may be in an object store: s3://bucket/prefix. If several name the same
    file, the latest counts.

    stdout gets one line per missing file, with tabs between run, name, size in bytes, status and reason. With --json it
    gets one object for each, with the keys of the manifest, and at the end one with the key summary.

    Makes no request. The exit code is 1 if files are missing.
    """
    return report(paths, common.output(as_json=as_json))


@program.command("cat", short_help="Write the bytes of files to stdout.")
@path_argument("RUN")
@names_argument
@option(WHICH, "--range", "span", metavar="START:STOP", callback=read_by(parse_range),
              help="Only the bytes [START, STOP), counted from 0; both optional.")  # fmt: skip
@connecting
@reading
@click.pass_obj
def cat_command(common: Common, path: str, names: tuple[str, ...], span: tuple[int, int | None] | None) -> int:
    """Write the bytes of the files NAME of RUN to stdout, one after the other, unchanged.

    The URL of a file's page can replace RUN and NAME. Binary files are not written to a terminal.

    The md5 of a whole file is compared at its end. If it is wrong, the exit code is 1, and the output must not be used;
    `wbfiles get` would not have published the file.
    """
    if span is not None and len(names) > 1:
        raise click.UsageError("--range is for one NAME.")

    async def work() -> int:
        async with common.open_api() as api:
            with explained(path):
                return await write_files(*find_names(api, path, names), *(span or (0, None)))

    return run(work, common.output().log_level)


@program.command("rm", short_help="Delete files of a run or a project on the server.")
@selecting("RUN|PROJECT")
@filters_option
@option(WHICH, "--all", "everything", is_flag=True, help="All files of RUN, or of all selected runs of PROJECT.")
@click.option("-n", "--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    DELETE_EVERYTHING, "everything_in", metavar="PROJECT",
    help="Do not ask before every file of PROJECT's runs is deleted, for which --yes is not enough.",
)  # fmt: skip
@json_option
@connecting
@click.pass_obj
def rm_command(
    common: Common,
    path: str,
    names: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    pattern: str | None,
    filters: Filters,
    everything: bool,
    dry_run: bool,
    yes: bool,
    everything_in: str | None,
    as_json: bool,
) -> int:
    """Delete files of RUN, or of the runs of PROJECT, on the server: the NAMEs, or what the options select.

    It first shows the number of files and their size, and asks. Without a terminal, --yes is needed. Files that are
    added after the listing are not deleted, and a file that no longer exists counts as deleted. After an interruption,
    repeat the command.

    PROJECT needs its last slash here. If every file of it is selected, you are asked to type its name.

    A terminal shows the progress. Otherwise stdout gets one line per file, with tabs between name, size in bytes and
    status (deleted, planned). With --json it gets one object per file, with the keys name, status, size and error (and
    run for a project), and at the end one with the key summary.
    """
    removal = Removal(
        path=path,
        chosen=_choose(common, names, include, exclude, pattern),
        filters=filters,
        everything_in=everything_in,
        everything=everything,
        open_api=common.open_api,
        dry_run=dry_run,
        yes=yes,
    )
    return remove(removal, common.output(as_json=as_json))


@program.command("serve", short_help="Serve a folder as a W&B server would, for tests.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@option(SERVER, "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option(SERVER, "--port", metavar="N", type=_PORT, default=0, help="Port of the API.  [default: a free one]")
@option(
    SERVER, "--store-port", metavar="N", type=_PORT, default=0,
    help="Port of the store, where the files are.  [default: a free one]",
)  # fmt: skip
@option(
    SERVER, "--allowed-host", "allowed_hosts", metavar="NAME", multiple=True,
    help="Another host name that requests may use; repeatable.",
)  # fmt: skip
@option(SERVER, "--api-key", metavar="KEY", help="The API key to accept; choose any.  [default: a fake key]")
@option(SERVER, "--entity", metavar="NAME", default="local", show_default=True, help="The default entity.")
@option(
    SERVER, "--url-lifetime", metavar="SECONDS", type=click.IntRange(min=1), default=3600, show_default=True,
    help="How long a signed URL is valid.",
)  # fmt: skip
@speaking
@click.pass_obj
def serve_command(
    common: Common,
    folder: Path,
    host: str,
    port: int,
    store_port: int,
    allowed_hosts: tuple[str, ...],
    api_key: str | None,
    entity: str,
    url_lifetime: int,
) -> int:
    """Serve DIR as a W&B server would, for tests and trials, until Ctrl-C.

    The files are DIR/<entity>/<project>/<run>/<files>; files that are added are served immediately. stdout gets the
    lines that make wbfiles, and wandb itself, use this server. Anyone who knows the key can change the folder.

    Ctrl-C and SIGTERM end it with exit code 0.
    """
    from wbfiles_async._cli.serving import ServeOptions, serve

    options = ServeOptions(
        host=host,
        port=port,
        store_port=store_port,
        allowed_hosts=allowed_hosts,
        entity=entity,
        url_lifetime=url_lifetime,
    )
    return serve(folder, options, api_key=api_key, output=common.output())


@program.command("demo", short_help="Download a sample run on this machine; no account needed.")
@click.option(
    "-o", "--root", type=_FOLDER, default=Path("wbfiles-demo"), show_default=True, help="Folder to download to."
)
@speaking
@click.pass_obj
def demo_command(common: Common, root: Path) -> int:
    """Download a sample run from a server on this machine; no account needed.

    It serves a sample run on a free port, downloads it, and shows what happened. Only the folder stays.
    """
    from wbfiles_async._cli.demo import demo

    return demo(root, common.output())


@program.command("completion", short_help="Complete wbfiles in bash, zsh or fish.", epilog="""\b
To load it in a startup file of your own:
    bash:  eval "$(wbfiles completion bash)"
    zsh:   eval "$(wbfiles completion zsh)"    after compinit
    fish:  wbfiles completion fish | source
""")  # fmt: skip
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--install", "installs", is_flag=True, help="Write it where the shell finds it, and say where that is.")
@click.option("--uninstall", "uninstalls", is_flag=True, help="Remove what --install wrote.")
def completion_command(shell: Shell | None, installs: bool, uninstalls: bool) -> int:
    """Print the script that makes a shell complete wbfiles, or install it.

    It completes commands, options, projects, runs, and names of a run's files. Projects, runs and names are requested
    from the server when Tab is pressed, with your credentials; if it does not answer within three seconds, none are
    offered.

    With --install or --uninstall the shell is by default that of the variable SHELL. For bash and zsh a few marked
    lines at the end of ~/.bashrc or ~/.zshrc load the script. Repeat --install to update it. Files and lines that it
    did not write are left alone.
    """
    if installs and uninstalls:
        raise click.UsageError("Give --install or --uninstall, not both.")
    if not (installs or uninstalls):
        if shell is None:
            raise click.UsageError("Say for which shell: wbfiles completion bash, zsh or fish.")
        click.echo(completion_script(shell, program))
        return ExitCode.DONE
    shell = shell or shell_of(os.environ)
    installation = plan_installation(shell, os.environ, home_folder())
    click.echo(install(installation, completion_script(shell, program)) if installs else uninstall(installation))
    return ExitCode.DONE


def _names_in(lines: TextIO) -> tuple[str, ...]:
    """Read names, one a line.

    Raises:
        click.UsageError: There is none, or it is no text.
    """
    try:
        names = tuple(name for line in lines if (name := line.rstrip("\r\n")))
    except UnicodeDecodeError:
        raise click.UsageError(f"{lines.name} is not UTF-8 text with one NAME per line.") from None
    if not names:
        raise click.UsageError(f"{lines.name} names no file, so nothing is downloaded.")
    return names


def _choose(
    common: Common, names: tuple[str, ...], include: tuple[str, ...], exclude: tuple[str, ...], pattern: str | None
) -> Chosen:
    if names and (include or exclude or pattern is not None):
        raise click.UsageError("Give NAMEs, or --include, --exclude and --pattern; not both.")
    return Chosen(names, pattern, Selection(include or None, exclude), common.per_page)


def _check_project(target: AsyncRun | AsyncRuns | SeveralRuns, chosen: Chosen, path: str) -> None:
    if chosen.pattern is not None and not isinstance(target, AsyncRun):
        what = "is a project" if isinstance(target, AsyncRuns) else "is not the only run"
        raise click.UsageError(f"{path} {what}, and --pattern is for one run; use --include.")
