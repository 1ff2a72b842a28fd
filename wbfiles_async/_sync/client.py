"""The blocking client, as far as other blocking objects know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wbfiles_async._async.api import AsyncApi

__all__ = ["Client", "async_of"]


class Client:
    """A blocking client, to which runs and files refer. `Api` is the only subclass.

    They refer to it because it is closed when nothing else does.
    """

    _async: AsyncApi


def async_of(client: Client | None) -> AsyncApi | None:
    """Return the async client of a blocking client; ``None`` for ``None``."""
    return None if client is None else client._async
