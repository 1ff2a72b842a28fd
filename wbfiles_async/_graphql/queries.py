"""The text of the queries to W&B's API. Performs no I/O.

Operations have the names of W&B's own client, since servers and their operators distinguish them by those.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CREATE_RUN_FILES",
    "DELETE_FILES",
    "DELETE_FILES_WITHOUT_PROJECT",
    "MARK_RUN_FILES_UPLOADED",
    "PROJECTS",
    "RUN",
    "RUNS",
    "RUNS_WITH_FILES",
    "RUNS_WITH_FILE_COUNTS",
    "RUNS_WITH_FILE_SIZES",
    "RUN_COUNT",
    "RUN_FILES",
    "RUN_FILE_SIZES",
    "SERVER_FEATURES",
    "VIEWER",
    "VIEWER_ENTITIES",
]

RUN_FILES: Final = """\
query RunFiles($project: String!, $entity: String!, $name: String!, $fileCursor: String,
               $fileLimit: Int = 50, $fileNames: [String] = [], $pattern: String) {
  project(name: $project, entityName: $entity) {
    internalId
    run(name: $name) {
      fileCount
      files(names: $fileNames, after: $fileCursor, first: $fileLimit, pattern: $pattern) {
        edges { node { id name url directUrl sizeBytes mimetype updatedAt md5 } cursor }
        pageInfo { endCursor hasNextPage }
      }
    }
  }
}
"""

# Counting, planning and deleting need no signed URLs, which are most of a response and of the server's work.
RUN_FILE_SIZES: Final = RUN_FILES.replace(" url directUrl", "")

PROJECTS: Final = """\
query GetProjects($entity: String, $cursor: String, $perPage: Int = 50) {
  models(entityName: $entity, after: $cursor, first: $perPage) {
    edges { node { id name entityName createdAt isBenchmark } cursor }
    pageInfo { endCursor hasNextPage }
  }
}
"""

RUN: Final = """\
query Run($project: String!, $entity: String!, $name: String!) {
  project(name: $project, entityName: $entity) {
    run(name: $name) { name displayName state createdAt }
  }
}
"""

# W&B's client requests many more fields by "Runs"; these are the ones that we show.
RUNS: Final = """\
query Runs($project: String!, $entity: String!, $cursor: String, $perPage: Int = 50, $order: String,
           $filters: JSONString) {
  project(name: $project, entityName: $entity) {
    runCount(filters: $filters)
    runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {
      edges { node { name displayName state createdAt } cursor }
      pageInfo { endCursor hasNextPage }
    }
  }
}
"""

# With the number of each run's files, to divide runs among workers.
RUNS_WITH_FILE_COUNTS: Final = RUNS.replace(" createdAt", " createdAt fileCount")

# Includes the first page of each run's files, so that small runs need no further request.
RUNS_WITH_FILES: Final = """\
query Runs($project: String!, $entity: String!, $cursor: String, $perPage: Int = 50, $order: String,
           $filters: JSONString, $fileLimit: Int = 50, $fileNames: [String] = [], $pattern: String) {
  project(name: $project, entityName: $entity) {
    internalId
    runCount(filters: $filters)
    runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {
      edges {
        node {
          name displayName state createdAt
          files(names: $fileNames, first: $fileLimit, pattern: $pattern) {
            edges { node { id name url directUrl sizeBytes mimetype updatedAt md5 } cursor }
            pageInfo { endCursor hasNextPage }
          }
        }
        cursor
      }
      pageInfo { endCursor hasNextPage }
    }
  }
}
"""

# With the number of each run's files, to detect an incomplete listing.
RUNS_WITH_FILE_SIZES: Final = RUNS_WITH_FILES.replace(" url directUrl", "").replace(
    " createdAt", " createdAt fileCount"
)

RUN_COUNT: Final = """\
query RunCount($project: String!, $entity: String!, $filters: JSONString) {
  project(name: $project, entityName: $entity) { runCount(filters: $filters) }
}
"""

DELETE_FILES: Final = """\
mutation deleteFiles($files: [ID!]!, $projectId: Int) {
  deleteFiles(input: {files: $files, projectId: $projectId}) { success }
}
"""

# For older servers, which refuse the argument `projectId`.
DELETE_FILES_WITHOUT_PROJECT: Final = """\
mutation deleteFiles($files: [ID!]!) {
  deleteFiles(input: {files: $files}) { success }
}
"""

CREATE_RUN_FILES: Final = """\
mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
    runID
    uploadHeaders
    files { name uploadUrl }
  }
}
"""

# W&B's cloud is notified by its store; other servers list an upload only after this.
MARK_RUN_FILES_UPLOADED: Final = """\
mutation MarkRunFilesUploaded($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  markRunFilesUploaded(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) { success }
}
"""

SERVER_FEATURES: Final = """\
query ServerFeaturesQuery {
  serverInfo { features { name isEnabled } }
}
"""

VIEWER_ENTITIES: Final = """\
query Viewer {
  viewer { entity username teams { edges { node { name } } } }
}
"""

VIEWER: Final = """\
query Viewer {
  viewer { entity username }
}
"""
