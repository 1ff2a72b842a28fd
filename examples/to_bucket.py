"""Fill a bucket from a project, and verify it by a second run that fetches nothing.

python examples/to_bucket.py ENTITY/PROJECT s3://BUCKET/PREFIX

Needs the extra ``cloud``; credentials of the bucket come from the environment (AWS_ACCESS_KEY_ID and so on).
"""

import asyncio
import sys

from wbfiles_async import AsyncApi


async def main(project: str, bucket: str) -> None:
    """Download all runs of the project into the bucket, twice."""
    async with AsyncApi() as api:
        runs = api.runs(project)
        filled = await runs.download(bucket, layout="{run}")
        print(f"{filled.downloaded} fetched, {filled.kept} were there")

        again = await runs.download(bucket, layout="{run}")
        print(f"{again.downloaded} fetched, {again.verified} of {again.files} verified")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
