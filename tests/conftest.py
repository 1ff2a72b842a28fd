"""For every test: isolation from the machine, and a search for secrets."""

from __future__ import annotations

import copyreg
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import leaks
import pytest
import transports
from leaks import pytest_runtest_makereport as pytest_runtest_makereport
from leaks import pytest_runtest_setup as pytest_runtest_setup
from transports import pytest_addoption as pytest_addoption
from transports import pytest_collection_modifyitems as pytest_collection_modifyitems
from transports import pytest_generate_tests as pytest_generate_tests
from transports import transport as transport

collect_ignore: list[str] = []
if sys.platform == "win32":
    # They need pseudo-terminals, limits of descriptors, or signals that reach other processes.
    collect_ignore += ["cli", "display/test_progress.py", "test_environments.py", "test_process_limits.py"]

_NAMES = {"NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}


def pytest_configure(config: pytest.Config) -> None:
    """Start the plugins of this folder."""
    for mark in ("azure", "gcs", "gzip", "hdfs", "numpy", "pandas", "processes", "s3", "threading"):
        config.addinivalue_line("markers", f"{mark}: of pyarrow's own tests, which tests/ecosystem runs")
    hypothesis.settings.register_profile("tests", deadline=None)  # a busy machine must not fail a test
    hypothesis.settings.load_profile("tests")
    leaks.pytest_configure(config)
    transports.pytest_configure(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exempt the collected tests, half a million objects, from the garbage collections in tests: 0.3 seconds each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home folder, and an environment without settings, credentials, proxies and certificates."""
    with (
        TemporaryDirectory(dir=tmp_path_factory.getbasetemp(), ignore_cleanup_errors=True) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        for name in list(os.environ):
            upper = name.upper()
            if upper in _NAMES or upper.startswith(("WANDB_", "SSL_CERT_")) or upper.endswith("_PROXY"):
                patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("USERPROFILE", str(folder))
        yield folder


_REDUCERS = copyreg.dispatch_table.copy()


@pytest.fixture(autouse=True)
def reducers() -> Iterator[None]:
    """Errors are pickled in the default way: distributed, once imported, adds their causes and frames."""
    yield
    if len(copyreg.dispatch_table) != len(_REDUCERS):
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(_REDUCERS)


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """Signals as in a terminal: children would inherit those that nohup or a background shell ignores."""
    for name, usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
