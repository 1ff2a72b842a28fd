"""The objects behind GraphQL's types of users and teams.

A field is an attribute of the same name in snake case. Performs no I/O.
"""

from __future__ import annotations

import attrs

from wbfiles_async.testing._ids import encode_id
from wbfiles_async.testing._pages import Connection, connect


@attrs.frozen
class Entity:
    """A user or team."""

    name: str

    @property
    def id(self) -> str:
        return encode_id("Entity", self.name)

    @property
    def organization(self) -> None:
        """Always ``None``: the server has no organizations."""


@attrs.frozen
class User:
    """The only user, whose key the server accepts."""

    name: str
    admin: bool = False
    flags: str = "{}"
    email: None = None
    deleted_at: None = None

    @property
    def id(self) -> str:
        return encode_id("User", self.name)

    @property
    def username(self) -> str:
        return self.name

    @property
    def entity(self) -> str:
        return self.name

    @property
    def teams(self) -> Connection[Entity]:
        return connect([(self.name, Entity(self.name))], has_more=False)

    @property
    def api_keys(self) -> Connection[None]:
        """Always empty: keys are never shown."""
        return connect([], has_more=False)
