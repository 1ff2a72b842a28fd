"""Forward proxies, and environments with a proxy that does not apply to the store."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.data import Way
from benchmarks.store import running

_START_SECONDS = 20.0

_NOBODY = "http://127.0.0.1:1"
"""An unreachable proxy: requests through it fail."""

_TINYPROXY = """\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 1000
LogLevel Critical
PidFile "{folder}/tinyproxy.pid"
"""

_SQUID = """\
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
access_log none
cache_log {folder}/squid.log
pid_filename {folder}/squid.pid
coredump_dir {folder}
shutdown_lifetime 0 seconds
"""


def own_address() -> str | None:
    """Return an address of this machine that is not on loopback, for which Go programs use no proxy."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the system only chooses the local address
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


def obstacle(way: Way) -> str:
    """Return why this route to the store is unavailable; an empty text if it is available."""
    if way not in ("tinyproxy", "squid"):
        return ""
    if shutil.which(way) is None:
        return f"{way} is not installed"
    return "" if own_address() else "this machine has only the loopback address"


@contextmanager
def serve(way: Way, folder: Path) -> Iterator[Mapping[str, str]]:
    """Run the proxy, if the route has one.

    Yields:
        Environment variables for this route.
    """
    match way:
        case "direct":
            yield {}
        case "excluded":
            yield _variables(_NOBODY, _NOBODY)
        case "other scheme":
            yield _variables("", _NOBODY)
        case _:
            with _proxy(way, folder) as url:
                yield _variables(url, url)


def _variables(http: str, https: str) -> dict[str, str]:
    given = {"http_proxy": http, "https_proxy": https, "no_proxy": "127.0.0.1"}
    set_ones = {name: value for name, value in given.items() if value}
    return set_ones | {name.upper(): value for name, value in set_ones.items()}


@contextmanager
def _proxy(way: Way, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / f"{way}.conf"
    text = _TINYPROXY if way == "tinyproxy" else _SQUID
    configuration.write_text(text.format(port=port, folder=folder))
    if os.geteuid() == 0:  # squid drops its privileges
        folder.chmod(0o777)
    command = ["tinyproxy", "-d", "-c"] if way == "tinyproxy" else ["squid", "-N", "-f"]
    with running([*command, str(configuration)], pass_fds=[]):
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{way} does not start") from None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
