"""Provides the pytest fixture ``wandb_server``; imports the server only if the fixture is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wbfiles_async.testing import LocalServer


@pytest.fixture
def wandb_server(tmp_path: Path) -> Iterator[LocalServer]:
    """Return a running `LocalServer` with an empty folder, which is stopped after the test.

    The environment is not changed; pass the URL and the key to the code under test::

        def test_my_report(wandb_server):
            wandb_server.add_file("team/project/run1", "report.json", b"{}")
            with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
                ...

    Requires the extra ``server``: ``python -m pip install '.[server]'`` in a clone.
    """
    from wbfiles_async.testing import LocalServer

    with LocalServer(tmp_path / "wandb_server") as server:
        yield server
