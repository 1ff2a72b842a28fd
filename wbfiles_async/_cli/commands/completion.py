"""The arguments, options and help of ``wbfiles completion``: complete the command line in shells."""

from __future__ import annotations

import os

import click

from wbfiles_async._cli.completing import completion_script
from wbfiles_async._cli.ending import ExitCode
from wbfiles_async._cli.installing import SHELLS, Shell, install, plan_installation, shell_of, uninstall
from wbfiles_async._cli.sections import SectionedCommand
from wbfiles_async._settings import home_folder


@click.command("completion", cls=SectionedCommand, short_help="Complete wbfiles in bash, zsh or fish.", epilog="""\b
To load it in a startup file of your own:
    bash:  eval "$(wbfiles completion bash)"
    zsh:   eval "$(wbfiles completion zsh)"    after compinit
    fish:  wbfiles completion fish | source
""")  # fmt: skip
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--install", "installs", is_flag=True, help="Write it where the shell finds it, and print where that is.")
@click.option("--uninstall", "uninstalls", is_flag=True, help="Remove what --install wrote.")
@click.pass_context
def completion_command(context: click.Context, shell: Shell | None, installs: bool, uninstalls: bool) -> int:
    """Print the script that makes a shell complete wbfiles, or install it.

    It completes commands, options, projects, runs, and names of a run's files. Projects, runs and names are requested
    from the server when Tab is pressed, with your credentials; if it does not answer within three seconds, none are
    offered.

    With --install or --uninstall the shell is by default that of the variable SHELL. For bash and zsh a few marked
    lines at the end of ~/.bashrc or ~/.zshrc load the script. Repeat --install to update it. It does not
    change files and lines that it did not write.
    """
    if installs and uninstalls:
        raise click.UsageError("Give --install or --uninstall, not both.")
    if not (installs or uninstalls):
        if shell is None:
            raise click.UsageError("Name the shell: wbfiles completion bash, zsh or fish.")
        click.echo(_script(context, shell))
        return ExitCode.DONE
    shell = shell or shell_of(os.environ)
    installation = plan_installation(shell, os.environ, home_folder())
    click.echo(install(installation, _script(context, shell)) if installs else uninstall(installation))
    return ExitCode.DONE


def _script(context: click.Context, shell: Shell) -> str:
    return completion_script(shell, context.find_root().command)
