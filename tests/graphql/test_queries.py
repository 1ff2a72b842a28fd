from __future__ import annotations

import re

import graphql
import pytest

from wbfiles_async._graphql.queries import DELETE_FILES, DELETE_FILES_WITHOUT_PROJECT, RUN_FILES, VIEWER

SCHEMA = graphql.build_schema("""
    type Query { project(name: String, entityName: String): Project viewer: User }
    type Mutation { deleteFiles(input: DeleteFilesInput!): DeleteFilesPayload }
    input DeleteFilesInput { files: [ID!]! projectId: Int }
    type DeleteFilesPayload { success: Boolean }
    type User { entity: String username: String }
    type Project { internalId: ID run(name: String!): Run }
    type Run {
      fileCount: Int
      files(names: [String], after: String, first: Int, pattern: String): FileConnection
    }
    type FileConnection { edges: [FileEdge] pageInfo: PageInfo }
    type FileEdge { node: File cursor: String }
    type PageInfo { endCursor: String hasNextPage: Boolean }
    type File {
      id: ID name: String url(upload: Boolean): String directUrl: String sizeBytes: Int mimetype: String
      updatedAt: String md5: String
    }
""")


@pytest.mark.parametrize("text", [RUN_FILES, DELETE_FILES, DELETE_FILES_WITHOUT_PROJECT, VIEWER])
def test_each_text_is_valid_against_the_servers_schema(text: str) -> None:
    assert graphql.validate(SCHEMA, graphql.parse(text)) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (RUN_FILES, "RunFiles"),
        (DELETE_FILES, "deleteFiles"),
        (DELETE_FILES_WITHOUT_PROJECT, "deleteFiles"),
        (VIEWER, "Viewer"),
    ],
)
def test_operations_carry_the_names_of_wandbs_client(text: str, name: str) -> None:
    assert re.match(rf"(query|mutation) {name}\b", text)


def test_the_text_for_old_servers_does_not_speak_of_the_project() -> None:
    assert "projectId" not in DELETE_FILES_WITHOUT_PROJECT
