"""Makes files from the server's dictionaries, given as JSON lines, and prints their attributes: MODULE."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wbfiles_async import File
elif sys.argv[1] == "wandb":
    from wandb.apis.public import File
else:
    from wbfiles_async import File

NAMES = (
    "id", "name", "url", "direct_url", "directUrl", "size", "size_bytes", "sizeBytes", "md5", "mimetype",
    "updated_at", "updatedAt", "path_uri", "run",
)  # fmt: skip


def value_of(file: File, name: str) -> object:
    """Read one attribute, or report that there is none."""
    try:
        return getattr(file, name)
    except AttributeError:
        return "AttributeError"


for line in sys.stdin:
    file = File(None, json.loads(line))
    print(json.dumps({name: value_of(file, name) for name in NAMES}))
