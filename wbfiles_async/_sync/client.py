"""What the blocking objects know of the client that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wbfiles_async._async.api import AsyncApi

__all__ = ["Client", "async_of"]


class Client:
    """A blocking client, as runs and files hold it. `Api` is the only one.

    It is held as long as they are, since it is closed when nothing refers to it.
    """

    _async: AsyncApi


def async_of(client: Client | None) -> AsyncApi | None:
    """Return the client that works in the I/O thread, if there is one."""
    return None if client is None else client._async
