"""The program ``wbfiles``, and its commands in the order of its help."""

from __future__ import annotations

import click

from wbfiles_async import __version__
from wbfiles_async._cli.commands.cat import cat_command
from wbfiles_async._cli.commands.completion import completion_command
from wbfiles_async._cli.commands.demo import demo_command
from wbfiles_async._cli.commands.du import du_command
from wbfiles_async._cli.commands.get import get_command
from wbfiles_async._cli.commands.ls import ls_command
from wbfiles_async._cli.commands.put import put_command
from wbfiles_async._cli.commands.report import report_command
from wbfiles_async._cli.commands.rm import rm_command
from wbfiles_async._cli.commands.serve import serve_command
from wbfiles_async._cli.options import connecting


class _Program(click.Group):
    """Lists the commands in the order in which one meets them, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_Program,
    commands=[
        ls_command,
        get_command,
        put_command,
        du_command,
        report_command,
        cat_command,
        rm_command,
        serve_command,
        demo_command,
        completion_command,
    ],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit codes:
    0  success                          3  credentials missing or refused
    1  some files failed, or the        4  run or files not found
       command failed as a whole      130  interrupted (143 by SIGTERM)
    2  wrong usage                    141  output closed by its reader
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
