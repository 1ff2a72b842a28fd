"""A pytest plugin that searches everything that a test made the library output for secrets.

It records the secrets that are passed in: each key, each credential that is sent. Signatures, tokens and
``Authorization`` values are known by their form as well. After each test it searches what was logged (at level
DEBUG), printed or read by the test, each error in every form (text, attributes, traceback with causes and notes,
pickle), and the texts and pickles of the public objects. A test that shows a secret on purpose is marked
``shows_secrets("why")``.
"""

from __future__ import annotations

import base64
import copyreg
import functools
import io
import logging
import pickle
import re
import subprocess
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import attrs
import pytest

from wbfiles_async import (
    AsyncApi,
    AsyncFile,
    AsyncFiles,
    AsyncProject,
    AsyncRun,
    DownloadReport,
    FileResult,
    errors,
)
from wbfiles_async._auth import authenticators, credentials

MOST = 200
"""The maximum of errors, and of objects of each kind, kept per test."""

FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?:X-(?:Amz|Goog|Ms)-(?:Signature|Credential|Security-Token)|AWSAccessKeyId)(?:=|%3D)[\w%+/.-]{4,}",
        r"[?&;](?:sig|signature|token)=[\w%+/.-]{4,}",
        r"\b(?:basic|bearer)\s+[A-Za-z0-9._~+/=-]{16,}",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    )
)


@attrs.define
class Watch:
    """The secrets of one test, and the library's output in it."""

    secrets: set[str] = attrs.field(factory=set)
    texts: list[tuple[str, str]] = attrs.field(factory=list)
    errors: list[BaseException] = attrs.field(factory=list)
    objects: dict[type, list[object]] = attrs.field(factory=dict)

    def learn(self, secret: str) -> None:
        """Record a secret, and its encoded forms."""
        self.secrets |= {secret, base64.b64encode(f"api:{secret}".encode()).decode()}

    def record_text(self, where: str, *texts: str | bytes | None) -> None:
        """Record an output."""
        for text in texts:
            if text:
                self.texts.append((where, text.decode("utf-8", "replace") if isinstance(text, bytes) else text))

    def keep(self, made: object) -> None:
        """Record an object to search later."""
        kept = self.errors if isinstance(made, BaseException) else self.objects.setdefault(type(made), [])
        if len(kept) < MOST:
            kept.append(made)  # type: ignore[arg-type]

    def leaks(self) -> list[str]:
        """Search everything; return the location and the beginning of each secret found."""
        found = []
        for where, text in [*self.texts, *self._shown()]:
            found += [f"{where} shows {secret[:6]}..." for secret in self.secrets if secret in text]
            found += [f"{where} shows {match[0][:20]}..." for form in FORMS if (match := form.search(text))]
        return list(dict.fromkeys(found))

    def _shown(self) -> Iterable[tuple[str, str]]:
        for error in self.errors:
            for form, text in texts_of(error).items():
                yield f"the {form} of a {type(error).__name__}", text
        for kind, objects in self.objects.items():
            for one in objects:
                yield f"the repr of a {kind.__name__}", repr(one)
                yield f"the pickle of a {kind.__name__}", _pickled(one)
                if hasattr(one, "to_json"):
                    yield from _file_system_texts(one)


def texts_of(error: BaseException) -> dict[str, str]:
    """Return all forms in which an error may be shown."""
    return {
        "text": str(error),
        "repr": repr(error),
        "attributes": repr(vars(error)),
        "traceback": "".join(traceback.format_exception(error)),
        "pickle": _pickled(error),
        "pickled causes": "".join(map(_pickled_state, _causes(error))),
    }


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error with all its causes, which Dask's pickles contain, too."""
    seen: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop()
        if not any(one is other for other in seen):
            seen.append(one)
            left += [each for each in (one.__cause__, one.__context__) if each is not None]
            yield one


def _pickled_state(error: BaseException) -> str:
    return "".join(map(_pickled, vars(error).values()))


def _file_system_texts(fs: Any) -> Iterable[tuple[str, str]]:
    """Return everything that fsspec and its users show of a file system."""
    yield "the JSON of a file system", fs.to_json()
    yield "the storage options of a file system", repr((fs.storage_args, fs.storage_options))
    yield "the token of a file system", repr((fs._fs_token, fs.fsid))


_REDUCERS = copyreg.dispatch_table.copy()
"""The default pickling: distributed, once imported, pickles errors with their causes and frames."""


def _pickled(one: object) -> str:
    pickled = io.BytesIO()
    pickler = pickle.Pickler(pickled)
    pickler.dispatch_table = _REDUCERS
    with suppress(TypeError, AttributeError, pickle.PicklingError):
        pickler.dump(one)
        return pickled.getvalue().decode("latin-1")
    return ""


class _LogRecorder(logging.Handler):
    """Records the library's log; not what httpx logs of a client injected by a test."""

    def emit(self, record: logging.LogRecord) -> None:
        current.record_text("the log", logging.Formatter("%(name)s %(message)s").format(record))


current = Watch()
_log_recorder = _LogRecorder(logging.DEBUG)


def _after(owner: type, name: str, listener: Callable[..., None]) -> None:
    """Call ``listener`` with the result and the arguments of each call of a method."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        listener(result, *args)
        return result

    setattr(owner, name, wrapper)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    config.addinivalue_line("markers", "shows_secrets(why): the test shows a secret on purpose")
    for kind in (AsyncApi, AsyncProject, AsyncRun, AsyncFiles, AsyncFile, DownloadReport, FileResult):
        _after(kind, "__init__", lambda _, made, *__: current.keep(made))
    if find_spec("fsspec"):
        from wbfiles_async.fsspec import WandbFileSystem

        _after(WandbFileSystem, "__init__", lambda _, made, *__: current.keep(made))
    _after(errors.WBFilesError, "__init__", lambda _, error, *__: current.keep(error))
    _after(credentials.ApiKey, "__init__", lambda _, key, *__: current.learn(key.value))
    _after(authenticators._AccessToken, "__init__", lambda _, token, *__: current.learn(token.value))
    _after(subprocess.Popen, "communicate", lambda output, *_: current.record_text("a child process", *output))
    _after(pytest.CaptureFixture, "readouterr", lambda output, *_: current.record_text("the output", *output))
    logger = logging.getLogger("wbfiles_async")
    logger.addHandler(_log_recorder)
    logger.setLevel(logging.DEBUG)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start a test without secrets and outputs."""
    global current
    current = Watch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Search after the teardown, and fail if something was found."""
    report = yield
    if report.when != "teardown" or item.get_closest_marker("shows_secrets"):
        return report
    for where, text in report.sections:
        if "log" not in where:  # which is recorded above, without other loggers
            current.record_text(where, text)
    leaks = current.leaks()
    if leaks and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = "\n".join(["Secrets were shown:", *leaks])
    return report
