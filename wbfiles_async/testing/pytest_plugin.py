"""Offers the fixture ``wandb_server`` to pytest; imports the server only where the fixture is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wbfiles_async.testing import LocalServer


@pytest.fixture
def wandb_server(tmp_path: Path) -> Iterator[LocalServer]:
    """Run a `LocalServer` over an empty folder for the length of one test.

    The environment is left alone; hand the address and the key to what is tested::

        def test_my_report(wandb_server):
            wandb_server.add_file("team/project/run1", "report.json", b"{}")
            with Api(base_url=wandb_server.base_url, api_key=wandb_server.api_key) as api:
                ...

    Needs the extra ``server``: ``python -m pip install '.[server]'`` in a clone.
    """
    from wbfiles_async.testing import LocalServer

    with LocalServer(tmp_path / "wandb_server") as server:
        yield server
