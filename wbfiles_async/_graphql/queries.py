"""The queries that are sent to W&B's API, as texts. Performs no I/O.

Operations carry the names that W&B's own client gives them, since servers and their operators sort by those.
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

# What is only counted, planned or deleted needs no signed URLs, which are most of an answer and most of its work.
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

# W&B's client requests much more of each run by "Runs"; this is what we show of one.
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

# With the number of each run's files, by which runs are divided among workers.
RUNS_WITH_FILE_COUNTS: Final = RUNS.replace(" createdAt", " createdAt fileCount")

# The first page of each run's files is included, so that runs of few files cost no request of their own.
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

# With the number of each run's files, by which an incomplete listing is noticed.
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

# For servers from before `projectId`, which refuse the argument.
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

# A store tells W&B's cloud by itself of what it was given; other servers know nothing of it before this.
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
