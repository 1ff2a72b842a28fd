"""The arguments, options and help of ``wbfiles serve``: serve a folder as a W&B server would."""

from __future__ import annotations

from pathlib import Path

import click

from wbfiles_async._cli.options import Common, speaking
from wbfiles_async._cli.sections import SERVER, SectionedCommand, option

_PORT = click.IntRange(0, 65535)


@click.command("serve", cls=SectionedCommand, short_help="Serve a folder as a W&B server would, for tests.")
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
