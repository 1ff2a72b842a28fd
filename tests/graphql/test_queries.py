from __future__ import annotations

import re

import graphql
import pytest

from wbfiles_async._graphql.queries import (
    CREATE_RUN_FILES,
    DELETE_FILES,
    DELETE_FILES_WITHOUT_PROJECT,
    MARK_RUN_FILES_UPLOADED,
    RUN_FILE_SIZES,
    RUN_FILES,
    RUNS,
    RUNS_WITH_FILE_COUNTS,
    RUNS_WITH_FILE_SIZES,
    RUNS_WITH_FILES,
    SERVER_FEATURES,
    VIEWER,
)

SCHEMA = graphql.build_schema("""
    type Query { project(name: String, entityName: String): Project viewer: User serverInfo: ServerInfo }
    type Mutation {
      deleteFiles(input: DeleteFilesInput!): DeleteFilesPayload
      createRunFiles(input: CreateRunFilesInput!): CreateRunFilesPayload
      markRunFilesUploaded(input: MarkRunFilesUploadedInput!): MarkRunFilesUploadedPayload
    }
    input CreateRunFilesInput { entityName: String! projectName: String! runName: String! files: [String!]! }
    type CreateRunFilesPayload { runID: ID! uploadHeaders: [String!] files: [UploadTarget!] }
    type UploadTarget { name: String uploadUrl: String }
    input MarkRunFilesUploadedInput { entityName: String! projectName: String! runName: String! files: [String!]! }
    type MarkRunFilesUploadedPayload { success: Boolean }
    type ServerInfo { features: [ServerFeature] }
    type ServerFeature { name: String isEnabled: Boolean }
    input DeleteFilesInput { files: [ID!]! projectId: Int }
    type DeleteFilesPayload { success: Boolean }
    type User { entity: String username: String }
    scalar JSONString
    type Project {
      internalId: ID
      run(name: String!): Run
      runCount(filters: JSONString): Int
      runs(filters: JSONString, after: String, first: Int, order: String): RunConnection
    }
    type RunConnection { edges: [RunEdge] pageInfo: PageInfo }
    type RunEdge { node: Run cursor: String }
    type Run {
      name: String displayName: String state: String createdAt: String
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


LISTINGS = [RUN_FILES, RUN_FILE_SIZES, RUNS, RUNS_WITH_FILE_COUNTS, RUNS_WITH_FILES, RUNS_WITH_FILE_SIZES]


@pytest.mark.parametrize(
    "text",
    [
        *(*LISTINGS, DELETE_FILES, DELETE_FILES_WITHOUT_PROJECT, VIEWER),
        *(CREATE_RUN_FILES, MARK_RUN_FILES_UPLOADED, SERVER_FEATURES),
    ],
)
def test_each_text_is_valid_against_the_servers_schema(text: str) -> None:
    assert graphql.validate(SCHEMA, graphql.parse(text)) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (RUN_FILES, "RunFiles"),
        (DELETE_FILES, "deleteFiles"),
        (DELETE_FILES_WITHOUT_PROJECT, "deleteFiles"),
        (VIEWER, "Viewer"),
        (CREATE_RUN_FILES, "CreateRunFiles"),
        (MARK_RUN_FILES_UPLOADED, "MarkRunFilesUploaded"),
        (SERVER_FEATURES, "ServerFeaturesQuery"),
    ],
)
def test_operations_carry_the_names_of_wandbs_client(text: str, name: str) -> None:
    assert re.match(rf"(query|mutation) {name}\b", text)


@pytest.mark.parametrize(("text", "lean"), [(RUN_FILES, RUN_FILE_SIZES), (RUNS_WITH_FILES, RUNS_WITH_FILE_SIZES)])
def test_counting_requests_no_signed_url(text: str, lean: str) -> None:
    assert ("directUrl" in text, "rl" in lean) == (True, False)


def test_query_for_old_servers_omits_the_project() -> None:
    assert "projectId" not in DELETE_FILES_WITHOUT_PROJECT
