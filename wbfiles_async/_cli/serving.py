"""``wbfiles serve``: a folder as a W&B server, until it is stopped."""

from __future__ import annotations

import asyncio
import ipaddress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from wbfiles_async._auth.credentials import ApiKey
from wbfiles_async._cli.ending import ExitCode, complain, run
from wbfiles_async._cli.output import Output
from wbfiles_async.errors import AuthenticationError

if TYPE_CHECKING:
    from wbfiles_async.testing import LocalServer


class MissingPackageError(click.ClickException):
    """A package of the extra ``server`` is not installed."""

    exit_code = ExitCode.USAGE


@attrs.frozen(kw_only=True)
class ServeOptions:
    """The server's options; see `LocalServer`.

    Attributes:
        host: The address to listen at.
        port: The port of the API; 0 for one that is free.
        store_port: The port of the store; 0 for one that is free.
        allowed_hosts: Further host names to accept.
        entity: The default entity.
        url_lifetime: Seconds that a signed URL is valid.
    """

    host: str
    port: int
    store_port: int
    allowed_hosts: tuple[str, ...]
    entity: str
    url_lifetime: int


def serve(folder: Path, options: ServeOptions, *, api_key: str | None, output: Output) -> int:
    """Serve until Ctrl-C or SIGTERM, the usual way to stop it.

    Args:
        folder: The folder of the runs.
        options: How the server is reached.
        api_key: The key to accept; ``None`` for the server's fake one.
        output: The output options.

    Returns:
        The exit code.

    Raises:
        click.ClickException: It cannot listen on the address, the key is invalid, or a package is missing.
    """
    make, host = partial(local_server(), folder, **attrs.asdict(options)), options.host
    server = make() if api_key is None else make(api_key=_checked(api_key))
    if api_key is None and not _is_loopback(host):
        complain(f"anyone who can reach {host} can change {folder}, since the fake key is known; use --api-key.")

    async def work() -> int:
        try:
            server.start()
        except OSError as error:
            ports = " and ".join(str(port) for port in (options.port, options.store_port) if port) or "0"
            raise click.ClickException(f"cannot listen on {host}, port {ports}: {error.strerror or error}.") from None
        try:
            output.say(f"Serving {folder} until Ctrl-C. In another terminal:\n")
            print(f"export WANDB_BASE_URL={server.base_url}", flush=True)
            if api_key is None:
                print(f"export WANDB_API_KEY={server.api_key}", flush=True)
            else:
                output.say("export WANDB_API_KEY=...    # the key given by --api-key")
            output.say(f"wbfiles ls {_example(folder)}\n")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            output.say("Stopped.")
        finally:
            server.close()
        return ExitCode.DONE

    return run(work, output.log_level)


def local_server() -> type[LocalServer]:
    """Import the server.

    Raises:
        MissingPackageError: A package it needs is not installed.
    """
    try:
        from wbfiles_async.testing import LocalServer
    except ImportError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise
        raise MissingPackageError(str(error)) from None  # whose message says how to install it
    return LocalServer


def _checked(api_key: str) -> str:
    try:
        return ApiKey(api_key, "--api-key").value
    except AuthenticationError as error:
        raise click.UsageError(error.message) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _example(folder: Path) -> str:
    """Return the path of a run in the folder, or a placeholder if there is none."""
    for run_folder in folder.glob("[!.]*/[!.]*/[!.]*/"):
        if run_folder.is_dir():
            return run_folder.relative_to(folder).as_posix()
    return "ENTITY/PROJECT/RUN"
