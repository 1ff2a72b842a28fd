"""The interface of a client that its objects use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wbfiles_async._gateway import Gateway

__all__ = ["Client"]


class Client:
    """A client, as runs and files hold it. `AsyncApi` is the only one."""

    _gateway: Gateway
