"""A W&B server in a folder, for tests and for trying things out.

The server is imported at first use, since every pytest run in an environment with this package imports the pytest
plugin, which must therefore be cheap.
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
