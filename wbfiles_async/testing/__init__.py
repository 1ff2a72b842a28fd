"""A W&B server in a folder, for tests and for trying things out.

The server is loaded at first use: the pytest plugin beside it is imported by every pytest run of everyone
who has this package installed, and must cost them nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wbfiles_async.testing._server import LocalServer

__all__ = ["LocalServer"]


def __getattr__(name: str) -> object:
    if name != "LocalServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wbfiles_async.testing._server import LocalServer

    return LocalServer
