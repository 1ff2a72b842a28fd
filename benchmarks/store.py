"""The store of the benchmarks: serves a folder at loopback, plain, over TLS, and with a limit on each connection.

``/after/SECONDS/PATH`` is ``/PATH``, whose response begins that much later, like that of a distant store. What is
put to ``/put/PATH`` becomes ``put/PATH`` below the folder of the configuration.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import trustme

from benchmarks.data import Door

Host = Literal["loopback", "outer"]
Entry = tuple[Host, Door]
"""An address of the store, and which of its doors there."""

LIMIT = 32_000_000
"""Bytes per second that the limited door gives one connection."""

_SO_MAX_PACING_RATE = 47
"""Linux's socket option, which Python does not name. nginx's own ``limit_rate`` would not do: it counts by
the request and lets each begin with a second's worth at once, so that parts of a file are not limited at all."""

_CONFIGURATION = """\
{modules}
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.pem;
    server {{
        {listens}
        root {data};
        location = /state {{ stub_status; }}
        location /put/ {{ root {folder}; dav_methods PUT; create_full_put_path on; client_max_body_size 0; }}
        location ~ ^/same/([^/]+)/ {{ try_files /$1/f000000.bin =404; }}
        {delayed}
    }}
}}
"""


# A timer of nginx, which costs nothing while it runs.
_DELAYED = "location ~ ^/after/([0-9.]+)(/.*)$ { echo_sleep $1; echo_exec $2; }"


def can_limit() -> bool:
    """Return whether this system can limit the rate of each connection."""
    return sys.platform == "linux"


def can_delay() -> bool:
    """Return whether responses can be delayed, which needs nginx's echo module."""
    return not shutil.which("nginx") or _echo_module() is not None


@cache
def _echo_module() -> Path | None:
    configured = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    folder = re.search(r"--modules-path=(\S+)", configured)
    module = Path(folder[1] if folder else "modules", "ngx_http_echo_module.so")
    return module if module.is_file() else None


@contextmanager
def serve(data: Path, folder: Path, outer: str | None = None) -> Iterator[Mapping[Entry, str]]:
    """Serve the folder ``data`` with nginx, or with a slower server in Python if it is not installed.

    Args:
        data: The folder to serve.
        folder: Where configuration, certificates and logs go; ``authority.pem`` is the one to trust.
        outer: An address of this machine that is not on loopback; without one, loopback is used.

    Yields:
        The store's origins.
    """
    with ExitStack() as stack:
        # Listens before the server starts, so that nobody else can take the ports and nothing has to wait.
        hosts: dict[Host, str] = {"loopback": "127.0.0.1", "outer": outer or "127.0.0.1"}
        doors: dict[Entry, socket.socket] = {
            (host, door): stack.enter_context(_listen(hosts[host])) for host in hosts for door in get_args(Door)
        }
        if can_limit():
            for host in hosts:
                doors[host, "limited"].setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, LIMIT)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert(*set(hosts.values())).private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        command, environment = (_nginx if shutil.which("nginx") else _python)(data, folder, doors)
        numbers = [listener.fileno() for listener in doors.values()]
        stack.enter_context(running(command, pass_fds=numbers, environment=environment))
        yield {
            (host, door): f"{'https' if door == 'https' else 'http'}://{_address(listener)}"
            for (host, door), listener in doors.items()
        }


def _listen(host: str) -> socket.socket:
    listener = socket.create_server((host, 0), backlog=1024)
    # nginx trusts this flag of an inherited socket; without it two workers accept one connection, and one waits.
    listener.setblocking(False)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"{host}:{port}"


def _nginx(data: Path, folder: Path, doors: Mapping[Entry, socket.socket]) -> tuple[list[str], dict[str, str]]:
    # Started by root, nginx would drop the permission to read what only root may.
    owner = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    user = f"user {owner};" if os.geteuid() == 0 else ""
    listens = "\n        ".join(
        f"listen {_address(listener)}{' ssl' if door == 'https' else ''};" for (_, door), listener in doors.items()
    )
    configuration = folder / "nginx.conf"
    echo = _echo_module()
    delay = {"modules": f"load_module {echo};" if echo else "", "delayed": _DELAYED if echo else ""}
    configuration.write_text(_CONFIGURATION.format(user=user, folder=folder, data=data, listens=listens, **delay))
    # nginx passes its listening sockets to a new version of itself with this variable.
    inherited = "".join(f"{listener.fileno()};" for listener in doors.values())
    command = ["nginx", "-p", str(folder), "-c", str(configuration), "-e", str(folder / "nginx.log")]
    return command, {"NGINX": inherited}


def _python(data: Path, folder: Path, doors: Mapping[Entry, socket.socket]) -> tuple[list[str], dict[str, str]]:
    numbers = [f"{door}={listener.fileno()}" for (_, door), listener in doors.items()]
    places = [str(data), str(folder), str(folder / "server.pem")]
    return [sys.executable, "-m", "benchmarks.plain_store", *places, *numbers], {}


@contextmanager
def running(
    command: list[str], *, pass_fds: list[int], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as a child process, and stop it."""
    with subprocess.Popen(command, pass_fds=pass_fds, env=os.environ | (environment or {})) as server:
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
