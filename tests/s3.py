"""A real S3 server for tests, moto in its own process; a bucket per test."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import attrs
import httpx
import pytest

SCRIPT = Path(__file__).parent / "scripts" / "s3_server.py"
KEY_ID, SECRET = "AKIAOFTHETESTS00", "secret/of/the/tests/0123456789abcdef"
_NAMES = itertools.count()
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

_SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/us-east-1/s3/aws4_request, Signature=0"}
"""The signature that moto accepts."""

MISSING = [name for name in ("moto", "flask", "flask_cors", "obstore") if find_spec(name) is None]
needs_s3 = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (the group `stores`)")


@attrs.frozen
class S3:
    """A bucket of a server.

    Attributes:
        origin: Where the server is.
        bucket: The bucket's name.
    """

    origin: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with the server and its credentials."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.origin,
            "AWS_REGION": "us-east-1",
        }

    def url(self, prefix: str = "") -> str:
        """Return the URL of a place in the bucket."""
        return f"s3://{self.bucket}/{prefix}".rstrip("/")

    def _send(self, method: str, target: str, data: bytes = b"") -> httpx.Response:
        url = f"{self.origin}{target}"
        answer = httpx.request(method, url, content=data, trust_env=False, timeout=30, headers=_SIGNED)
        return answer.raise_for_status()

    def objects(self) -> dict[str, bytes]:
        """All objects, by their keys."""
        keys: list[str] = []
        token: str | None = ""
        while token is not None:  # a page holds a thousand
            after = f"&continuation-token={quote(token, safe='')}" if token else ""
            page = ElementTree.fromstring(self._send("GET", f"/{self.bucket}?list-type=2{after}").content)
            keys += [key.text or "" for key in page.iter(f"{_NAMESPACE}Key")]
            token = page.findtext(f"{_NAMESPACE}NextContinuationToken")
        return {key: self._send("GET", f"/{self.bucket}/{quote(key)}").content for key in keys}

    def head(self, key: str) -> httpx.Headers:
        """The header fields of an object."""
        return httpx.head(
            f"{self.origin}/{self.bucket}/{quote(key)}", trust_env=False, timeout=30, headers=_SIGNED
        ).headers

    def put(self, key: str, data: bytes) -> None:
        """Write an object as another tool would."""
        httpx.put(
            f"{self.origin}/{self.bucket}/{quote(key)}", content=data, trust_env=False, headers=_SIGNED
        ).raise_for_status()

    def unfinished(self) -> list[str]:
        """Multipart uploads that were neither completed nor aborted."""
        return re.findall("<Key>(.*?)</Key>", self._send("GET", f"/{self.bucket}?uploads").text)

    def fail(self, *faults: dict[str, object]) -> None:
        """Make the next requests fail."""
        with_defaults = [{"method": "PUT", "contains": "/", "code": "Fault", "times": 10**6} | each for each in faults]
        httpx.post(f"{self.origin}/_faults", json=with_defaults, trust_env=False).raise_for_status()

    def requests(self, method: str) -> Sequence[str]:
        """The targets of the requests for this bucket so far."""
        found: list[str] = self._send("GET", "/_requests").json()
        return [each.partition(" ")[2] for each in found if each.startswith(f"{method} /{self.bucket}")]


@contextmanager
def serving() -> Iterator[str]:
    """Run the server; yield its origin."""
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.stdin.close()
            child.wait(20)


def make_bucket(origin: str) -> S3:
    """Make an empty bucket."""
    made = S3(origin, f"bucket-{next(_NAMES)}")
    httpx.put(f"{origin}/{made.bucket}", trust_env=False, headers=_SIGNED).raise_for_status()
    return made


@contextmanager
def bucket_of_its_own() -> Iterator[S3]:
    """Run a server for one bucket."""
    with serving() as origin:
        yield make_bucket(origin)


@pytest.fixture(scope="session")
def s3_origin() -> Iterator[str]:
    """The origin of the server."""
    with serving() as origin:
        yield origin


@pytest.fixture
def s3(s3_origin: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """An empty bucket, whose server and credentials the environment names."""
    made = make_bucket(s3_origin)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    yield made
    made.fail()
