"""The part of W&B's GraphQL schema for runs and their files, and its execution by graphql-core.

Does not know HTTP. The objects behind the fields determine their values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import attrs

from wbfiles_async._models import MARKS_UPLOADS
from wbfiles_async.testing import _mutations as mutations
from wbfiles_async.testing._names import snake_case
from wbfiles_async.testing._nodes import Project, Request, list_projects, open_project
from wbfiles_async.testing._pages import Connection
from wbfiles_async.testing._people import Entity, User

try:
    import graphql
except ImportError as error:
    raise ImportError(
        "LocalServer executes GraphQL with graphql-core; in a clone of the repository: "
        "python -m pip install '.[server]'"
    ) from error

_DOCUMENTS = 64
"""Maximum cached queries, parsed and validated; a client sends only a few different ones."""


@attrs.frozen
class ServerFeature:
    """A feature that not every W&B server has."""

    name: str
    is_enabled: bool = True


@attrs.frozen
class ServerInfo:
    """The features that not every W&B server has."""

    features: tuple[ServerFeature, ...] = (ServerFeature(MARKS_UPLOADS),)


@attrs.frozen
class Root:
    """The entry points of queries and mutations."""

    request: Request

    def viewer(self) -> User:
        return User(self.request.site.entity)

    def server_info(self) -> ServerInfo:
        return ServerInfo()

    def entity(self, name: str | None = None) -> Entity:
        return Entity(name or self.request.site.entity)

    def project(self, name: str | None = None, entity_name: str | None = None) -> Project | None:
        return open_project(self.request, entity_name or self.request.site.entity, name or "")

    def models(
        self, entity_name: str | None = None, after: str | None = None, first: int | None = None
    ) -> Connection[Project]:
        return list_projects(self.request, entity_name or self.request.site.entity, after, first)

    def upsert_bucket(self, input: mutations.UpsertBucketInput) -> mutations.UpsertBucketPayload:
        return mutations.upsert_bucket(self.request, input)

    def create_run_files(self, input: mutations.CreateRunFilesInput) -> mutations.CreateRunFilesPayload:
        return mutations.create_run_files(self.request, input)

    def mark_run_files_uploaded(
        self, input: mutations.MarkRunFilesUploadedInput
    ) -> mutations.MarkRunFilesUploadedPayload:
        return mutations.mark_run_files_uploaded(self.request, input)

    def delete_files(self, input: mutations.DeleteFilesInput) -> mutations.DeleteFilesPayload:
        return mutations.delete_files(self.request, input)


@attrs.frozen
class Answer:
    """The result of a GraphQL query.

    Attributes:
        body: The JSON text.
        is_valid: Whether there is a result; it may also contain errors of single fields.
        operation: The name of the executed operation; empty if it has none.
    """

    body: bytes
    is_valid: bool
    operation: str = ""


def execute(request: Request, query: str, variables: Mapping[str, object], operation: str | None) -> Answer:
    """Validate and execute a query; errors are part of the result."""
    try:
        document = _parse(query)
    except graphql.GraphQLError as error:
        return Answer(_dump({"errors": [error.formatted]}), is_valid=False)
    except RecursionError:
        return Answer(_dump({"errors": [{"message": "the query is nested too deeply"}]}), is_valid=False)
    result = graphql.execute_sync(
        _schema(),
        document,
        root_value=Root(request),
        variable_values=dict(variables),
        operation_name=operation,
        field_resolver=_resolve,
    )
    executed = graphql.get_operation_ast(document, operation)
    name = executed.name.value if executed and executed.name else ""
    return Answer(_dump(result.formatted), is_valid=result.data is not None, operation=name)


@lru_cache(_DOCUMENTS)
def _parse(query: str) -> graphql.DocumentNode:
    document = graphql.parse(query)
    for error in graphql.validate(_schema(), document):
        raise error
    return document


@lru_cache(1)
def _schema() -> graphql.GraphQLSchema:
    text = resources.files("wbfiles_async.testing").joinpath("schema.graphql").read_text(encoding="utf-8")
    schema = graphql.build_schema(text)
    for type_ in schema.type_map.values():
        if isinstance(type_, graphql.GraphQLInputObjectType):
            for name, input_field in type_.fields.items():
                input_field.out_name = snake_case(name)
        elif isinstance(type_, graphql.GraphQLObjectType):
            for field in type_.fields.values():
                for name, argument in field.args.items():
                    argument.out_name = snake_case(name)
    return schema


_attribute = lru_cache(maxsize=None)(snake_case)


def _resolve(source: object, info: graphql.GraphQLResolveInfo[Any], **arguments: object) -> object:
    value: object = getattr(source, _attribute(info.field_name))
    return value(**arguments) if callable(value) else value


def _dump(answer: object) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
