"""What the objects know of the client that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wbfiles_async._gateway import Gateway

__all__ = ["Client"]


class Client:
    """A client: the way to W&B that its objects share. `AsyncApi` is the one that there is."""

    _gateway: Gateway
