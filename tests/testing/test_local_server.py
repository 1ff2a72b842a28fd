"""LocalServer responds like W&B and its object stores, tested with a plain HTTP client."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async.testing import LocalServer
from wbfiles_async.testing._conditions import UnsatisfiableRangeError, select_range
from wbfiles_async.testing._like import compile_like

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
RUN = "team/vision/run1"
MEBIBYTE = 1 << 20
LARGE = os.urandom(MEBIBYTE) * 2
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # Loading certificates is most of what a client costs.

FILES = """
query Files($run: String!, $names: [String], $pattern: String, $after: String, $first: Int) {
  project(name: "vision", entityName: "team") {
    internalId
    run(name: $run) {
      id
      fileCount
      files(names: $names, pattern: $pattern, after: $after, first: $first) {
        edges { cursor node { id name url directUrl sizeBytes mimetype updatedAt md5 } }
        pageInfo { endCursor hasNextPage }
      }
    }
  }
}
"""
CREATE = """
mutation Create($files: [String!]!) {
  createRunFiles(input: {entityName: "team", projectName: "vision", runName: "run1", files: $files}) {
    runID uploadHeaders files { name uploadUrl }
  }
}
"""
MARK = """
mutation MarkRunFilesUploaded($files: [String!]!, $run: String = "run1") {
  markRunFilesUploaded(input: {entityName: "team", projectName: "vision", runName: $run, files: $files}) { success }
}
"""
DELETE = """
mutation Delete($files: [ID!]!, $project: Int) {
  deleteFiles(input: {files: $files, projectId: $project}) { success }
}
"""
UPSERT = """
mutation Upsert($input: UpsertBucketInput!) { upsertBucket(input: $input) { inserted bucket { id name state } } }
"""
RUNS = """
query Runs($filters: JSONString, $order: String, $after: String, $first: Int) {
  project(name: "vision", entityName: "team") {
    runCount(filters: $filters)
    runs(filters: $filters, order: $order, after: $after, first: $first) {
      edges { node { name } }
      pageInfo { endCursor hasNextPage }
    }
  }
}
"""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client of one server; responses are untyped on purpose, like JSON."""

    def __init__(self, server: LocalServer) -> None:
        self.http = httpx.Client(base_url=server.base_url, auth=("api", server.api_key), trust_env=False, verify=NO_TLS)
        self.store = httpx.Client(trust_env=False, verify=NO_TLS)

    def post(self, query: str, **variables: object) -> Any:
        return self.http.post("/graphql", json={"query": query, "variables": variables}).json()

    def data(self, query: str, **variables: object) -> Any:
        answer = self.post(query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def files(self, run: str = "run1", **variables: object) -> Any:
        return self.data(FILES, run=run, **variables)["project"]["run"]

    def names(self, **variables: object) -> list[str]:
        return [edge["node"]["name"] for edge in self.files("run1", **variables)["files"]["edges"]]

    def node(self, name: str) -> Any:
        (edge,) = self.files(names=[name])["files"]["edges"]
        return edge["node"]

    def upload_url(self, name: str) -> str:
        url: str = self.data(CREATE, files=[name])["createRunFiles"]["files"][0]["uploadUrl"]
        return url

    def get(self, name: str, **headers: str) -> httpx.Response:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.store.get(self.node(name)["directUrl"], headers=named)

    def close(self) -> None:
        self.http.close()
        self.store.close()


@pytest.fixture
def client(wandb_server: LocalServer) -> Iterator[Client]:
    client = Client(wandb_server)
    yield client
    client.close()


@pytest.mark.parametrize("auth", [None, ("api", "wrong" * 8)], ids=["none", "wrong key"])
def test_api_requires_the_key(wandb_server: LocalServer, auth: tuple[str, str] | None) -> None:
    wandb_server.add_file(RUN, "a.txt", b"a")
    with httpx.Client(base_url=wandb_server.base_url, auth=auth, trust_env=False, verify=NO_TLS) as http:
        answers = [
            http.post("/graphql", json={"query": "{ viewer { entity } }"}),
            http.get(f"/files/{RUN}/a.txt"),
            http.post(f"/files/{RUN}/file_stream", json={}),
        ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["message"] == "user is not logged in"


def test_identity_token_is_exchanged_for_an_access_token_that_expires(tmp_path: Path) -> None:
    clock = Clock()
    with LocalServer(tmp_path, clock=clock, token_lifetime=60) as server:
        form = {"grant_type": JWT_BEARER, "assertion": server.identity_token}
        with httpx.Client(base_url=server.base_url, trust_env=False, verify=NO_TLS) as http:
            granted = http.post("/oidc/token", data=form).json()
            assert granted["expires_in"] == 60

            def status(token: str) -> int:
                headers = {"Authorization": f"Bearer {token}"}
                return http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=headers).status_code

            token = granted["access_token"]
            assert status(token) == 200
            assert status(token + "0") == 401
            assert status("9" + token) == 401
            clock.now += 60
            assert status(token) == 401


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": "password", "assertion": "e30.e30.c2ln"},
        {"grant_type": JWT_BEARER, "assertion": "no token"},
        {"grant_type": JWT_BEARER, "assertion": "e30.e30.c2ln"},
        {"grant_type": JWT_BEARER, "assertion": "e30.e30."},
        {"grant_type": JWT_BEARER, "assertion": "é.é.é"},
        {},
    ],
)
@pytest.mark.fault(125)
def test_nothing_else_is_exchanged(client: Client, form: dict[str, str]) -> None:
    assert client.http.post("/oidc/token", data=form).status_code == 400


@pytest.mark.fault(125)
def test_identity_token_is_bound_to_its_key(tmp_path: Path) -> None:
    with LocalServer(tmp_path / "1") as known, LocalServer(tmp_path / "2", api_key="s" * 40) as server:
        form = {"grant_type": JWT_BEARER, "assertion": known.identity_token}
        with httpx.Client(base_url=server.base_url, trust_env=False, verify=NO_TLS) as http:
            assert http.post("/oidc/token", data=form).status_code == 400
        signed, _, signature = server.identity_token.rpartition(".")
        expected = hmac.new(b"s" * 40, signed.encode(), "sha256").digest()
        assert base64.urlsafe_b64decode(signature + "=") == expected


@pytest.mark.fault(125)
@pytest.mark.parametrize(
    "value", [b"Basic \xe9", "Basic é".encode(), b"Basic =", b"Bearer \xe9.\xff", b"Bearer 1.\xc3\xa9", b""]
)
def test_non_text_credentials_are_refused(wandb_server: LocalServer, value: bytes) -> None:
    with httpx.Client(base_url=wandb_server.base_url, trust_env=False, verify=NO_TLS) as http:
        answer = http.post("/graphql", json={"query": "{ viewer { id } }"}, headers=[(b"Authorization", value)])
    assert answer.status_code == 401


@pytest.mark.fault(125)
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("LOCALHOST", 200),
        ("wandb.localhost:80", 200),
        ("[::1]:8080", 200),
        ("192.168.1.2", 200),
        ("ci-server", 200),
        ("evil.example", 421),
        ("evil.example:80", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("notlocalhost", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_foreign_host_names_are_refused(tmp_path: Path, host: str, status: int) -> None:
    with LocalServer(tmp_path, allowed_hosts=["CI-server"]) as server:
        server.add_file(RUN, "a.txt", b"private")
        for url in (server.base_url, server.store_url):
            with httpx.Client(base_url=url, trust_env=False, verify=NO_TLS) as http:
                answer = http.post(
                    "/graphql",
                    json={"query": "{ viewer { id } }"},
                    headers={"Host": host},
                    auth=("api", server.api_key),
                )
            api = url == server.base_url
            assert answer.status_code == (421 if status == 421 else 200 if api else 404)


@pytest.mark.fault(125)
def test_deep_nesting_is_refused(client: Client) -> None:
    deep = b'{"query": ' + b"[" * 100_000
    assert client.http.post("/graphql", content=deep).status_code == 400
    answer = client.http.post("/graphql", json={"query": "{a" * 5_000})
    assert answer.status_code == 400
    assert "too deeply" in answer.text


@pytest.mark.fault(125)
@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("(a+)+$", "repeats a group"),
        ("(a|a)*$", "repeats a group"),
        ("(?:a|a){20}$", "repeats a group"),
        (r"(\(a*\))+", "repeats a group"),
        ("a*a*a*a*a*b", "could take too long"),
        ("(a|a)" * 30 + "b", "could take too long"),
        ("(?x) (a+) +$", "of a kind"),
        ("(?P<name>a)", "of a kind"),
        ("a" * 1001, "1,000 characters"),
        ("(" * 900, "no regular expression"),
        ("[", "no regular expression"),
        ("a{99999999999999999999}", "no regular expression"),
        ("^a+$", ""),
        (r"^(?i)?[(+*)\]]*a\)?", "no regular expression"),
        (r"[)+*]\)|^a{3}(?:a|b)?.*", ""),
        ("(?i)A.*A.*A", ""),
    ],
)
def test_expensive_expression_is_refused(
    wandb_server: LocalServer, client: Client, expression: str, refused: str
) -> None:
    wandb_server.add_run("team/project/" + "a" * 60)
    query = 'query Q($f: JSONString) { project(name: "project", entityName: "team") { runCount(filters: $f) } }'
    filters = json.dumps({"name": {"$regex": expression}})
    answer = client.http.post("/graphql", json={"query": query, "variables": {"f": filters}}).json()
    if refused:
        assert refused in answer["errors"][0]["message"]
    else:
        assert answer["data"]["project"]["runCount"] == 1


def test_files_address_redirects_to_the_store(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "sub/a.txt", b"hello")
    node = client.node("sub/a.txt")
    assert node["url"] == f"{wandb_server.base_url}/files/{RUN}/sub/a.txt"
    redirect = client.http.get(node["url"])
    assert redirect.status_code == 302
    location = redirect.headers["Location"]
    assert location.startswith(f"{wandb_server.store_url}/")
    assert location.startswith(node["directUrl"].split("?")[0])
    assert client.store.get(location).content == b"hello"


def test_files_address_of_a_missing_file_is_not_found(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_run(RUN)
    assert client.http.get(f"/files/{RUN}/missing").status_code == 404
    assert client.http.get("/files/team/vision/missing/a.txt").status_code == 404


def test_urls_use_the_clients_host_spelling(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a.txt", b"a")
    port = urlsplit(wandb_server.base_url).port
    answer = client.http.post(
        "/graphql",
        json={"query": FILES, "variables": {"run": "run1"}},
        headers={"Host": f"files.localhost:{port}"},
    )
    node = answer.json()["data"]["project"]["run"]["files"]["edges"][0]["node"]
    assert node["url"].startswith(f"http://files.localhost:{port}/files/")
    assert node["directUrl"].startswith("http://files.localhost:")


@pytest.mark.parametrize(
    "name",
    ["a b.txt", "grüße/naïve ☃.txt", "#1", "50%", "a%2Fb", "what?", "1+1=2&3", "a;b@c:d", "'\"<>|*", "..a", "~", "-rf"],
)
def test_any_name_survives_both_urls_and_an_upload(wandb_server: LocalServer, client: Client, name: str) -> None:
    wandb_server.add_run(RUN)
    assert client.store.put(client.upload_url(name), content=name.encode()).status_code == 200
    assert (wandb_server.root / RUN / name).read_bytes() == name.encode()
    node = client.node(name)
    assert node["name"] == name
    assert client.store.get(node["directUrl"]).content == name.encode()
    assert client.store.get(client.http.get(node["url"]).headers["Location"]).content == name.encode()


def test_signed_address_refuses_credentials(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a.txt", b"a")
    answer = client.get("a.txt", Authorization="Basic YXBpOmtleQ==")
    assert answer.status_code == 400
    assert "<Code>InvalidArgument</Code>" in answer.text


def test_signed_address_expires(tmp_path: Path) -> None:
    clock = Clock()
    with LocalServer(tmp_path, clock=clock, url_lifetime=30) as server:
        server.add_file(RUN, "a.txt", b"a")
        client = Client(server)
        url = client.node("a.txt")["directUrl"]
        clock.now += 29
        assert client.store.get(url).status_code == 200
        clock.now += 1
        expired = client.store.get(url)
        assert expired.status_code == 403
        assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in expired.text
        assert client.get("a.txt").status_code == 200
        client.close()


def test_only_what_was_signed_is_served(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a.txt", b"a")
    wandb_server.add_file(RUN, "b.txt", b"b")
    url = client.node("a.txt")["directUrl"]
    unsigned_url = url.split("?")[0]
    for changed in (
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace("a.txt", "b.txt"),
        url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
    ):
        answer = client.store.get(changed)
        assert answer.status_code == 403
        assert "<Code>SignatureDoesNotMatch</Code>" in answer.text
    assert client.store.put(url, content=b"c").status_code == 403
    assert client.store.get(client.upload_url("a.txt")).status_code == 403
    unsigned = client.store.get(unsigned_url)
    assert unsigned.status_code == 403
    assert "<Code>AccessDenied</Code>" in unsigned.text
    assert (wandb_server.root / RUN / "a.txt").read_bytes() == b"a"


def test_deleted_object_is_no_such_key(wandb_server: LocalServer, client: Client) -> None:
    path = wandb_server.add_file(RUN, "a.txt", b"a")
    url = client.node("a.txt")["directUrl"]
    path.unlink()
    answer = client.store.get(url)
    assert answer.status_code == 404
    assert "<Code>NoSuchKey</Code>" in answer.text


@pytest.mark.parametrize("data", [b"0123456789", LARGE], ids=["small", "large"])
def test_range_is_the_slice_it_names(wandb_server: LocalServer, client: Client, data: bytes) -> None:
    wandb_server.add_file(RUN, "data", data)
    size = len(data)
    for header, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=2-5", 2, 6),
        ("bytes=3-", 3, size),
        ("bytes=-4", size - 4, size),
        (f"bytes=-{size + 9}", 0, size),
        (f"bytes=1-{size + 9}", 1, size),
        (f"bytes=0-{size - 1}", 0, size),
    ):
        answer = client.get("data", Range=header)
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["Content-Length"] == str(stop - start)
        assert answer.content == data[start:stop]


@pytest.mark.parametrize("header", ["bytes=5-4", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "0-1"])
def test_malformed_or_multiple_range_is_ignored(wandb_server: LocalServer, client: Client, header: str) -> None:
    wandb_server.add_file(RUN, "data", b"0123456789")
    answer = client.get("data", Range=header)
    assert (answer.status_code, answer.content) == (200, b"0123456789")


@pytest.mark.parametrize(
    ("data", "header"),
    [(b"0123456789", "bytes=10-"), (b"0123456789", "bytes=-0"), (b"", "bytes=0-0"), (b"", "bytes=-5")],
)
def test_empty_range_is_unsatisfiable(wandb_server: LocalServer, client: Client, data: bytes, header: str) -> None:
    wandb_server.add_file(RUN, "data", data)
    answer = client.get("data", Range=header)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(data)}"
    assert "<Code>InvalidRange</Code>" in answer.text


@given(size=st.integers(1, 50), first=st.integers(0, 60), last=st.integers(0, 60))
def test_ranges_are_half_open_inside_and_cut_at_the_end(size: int, first: int, last: int) -> None:
    header = f"bytes={first}-{last}"
    expected = range(size)[first : last + 1]
    if last < first:
        assert select_range(header, size) is None
    elif not expected:
        with pytest.raises(UnsatisfiableRangeError):
            select_range(header, size)
    else:
        assert select_range(header, size) == (expected.start, expected.stop)


@pytest.mark.parametrize("data", [b"", b"0123456789", LARGE], ids=["empty", "small", "large"])
def test_head_matches_get(wandb_server: LocalServer, client: Client, data: bytes) -> None:
    wandb_server.add_file(RUN, "data.json", data)
    whole = client.get("data.json")
    head = client.store.head(client.node("data.json")["directUrl"])
    assert head.status_code == 200
    assert head.content == b""
    assert whole.content == data
    assert head.headers["Content-Length"] == str(len(data))
    for name in ("Content-Type", "ETag", "Accept-Ranges", "Last-Modified"):
        assert head.headers[name] == whole.headers[name]
    assert head.headers["Content-Type"] == "application/json"


def test_if_match_requires_the_object(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "data", b"old data")
    etag = client.get("data").headers["ETag"]
    assert etag.startswith('"')
    for header in (etag, f'"other", {etag}', "*"):
        assert client.get("data", If_Match=header, Range="bytes=0-2").content == b"old"
    for header in ('"other"', f"W/{etag}"):
        assert client.get("data", If_Match=header).status_code == 412
    wandb_server.add_file(RUN, "data", b"new data")
    changed = client.get("data", If_Match=etag, Range="bytes=0-2")
    assert changed.status_code == 412
    assert "<Code>PreconditionFailed</Code>" in changed.text


def test_if_none_match_and_if_range_are_honoured(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "data", b"0123456789")
    etag = client.get("data").headers["ETag"]
    assert client.get("data", If_None_Match=f"W/{etag}").status_code == 304
    assert client.get("data", If_None_Match='"other"').status_code == 200
    assert client.get("data", If_Range=etag, Range="bytes=0-2").status_code == 206
    assert client.get("data", If_Range='"other"', Range="bytes=0-2").status_code == 200


def test_parallel_ranges_cover_the_whole(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "data", LARGE)
    url = client.node("data")["directUrl"]
    part = 300_000

    def fetch(start: int) -> bytes:
        return client.store.get(url, headers={"Range": f"bytes={start}-{start + part - 1}"}).content

    with ThreadPoolExecutor(8) as pool:
        assert b"".join(pool.map(fetch, range(0, len(LARGE), part))) == LARGE


def test_file_that_shrinks_while_it_is_sent_ends_the_connection(wandb_server: LocalServer, client: Client) -> None:
    path = wandb_server.add_file(RUN, "data", b"")
    os.truncate(path, 64 * MEBIBYTE)
    with client.store.stream("GET", client.node("data")["directUrl"]) as answer:
        assert answer.status_code == 200
        os.truncate(path, 0)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            answer.read()


def test_file_attributes_match_wandb(wandb_server: LocalServer, client: Client) -> None:
    data = b'{"loss": 1}'
    path = wandb_server.add_file(RUN, "sub/a.json", data)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    node = client.node("sub/a.json")
    assert node["sizeBytes"] == len(data)
    assert node["mimetype"] == "application/json"
    assert node["updatedAt"] == "2023-11-14T22:13:20Z"
    assert base64.b64decode(node["md5"]) == hashlib.md5(data).digest()
    path.write_bytes(b"{}")
    assert base64.b64decode(client.node("sub/a.json")["md5"]) == hashlib.md5(b"{}").digest()


@pytest.mark.parametrize("first", [1, 3, 7, 10_000])
def test_pages_list_every_file_once_in_order(wandb_server: LocalServer, client: Client, first: int) -> None:
    names = sorted([f"{folder}{number}.txt" for folder in ("", "a/", "a/b/", "z") for number in range(3)])
    for name in names:
        wandb_server.add_file(RUN, name, name.encode())
    found: list[str] = []
    after = None
    while True:
        run = client.files(first=first, after=after)
        assert run["fileCount"] == len(names)
        edges, info = run["files"]["edges"], run["files"]["pageInfo"]
        found += [edge["node"]["name"] for edge in edges]
        assert info["endCursor"] == edges[-1]["cursor"]
        if not info["hasNextPage"]:
            break
        assert len(edges) == first
        after = info["endCursor"]
    assert found == names


def test_paging_continues_after_a_deletion(wandb_server: LocalServer, client: Client) -> None:
    for name in "abcd":
        wandb_server.add_file(RUN, name, b"")
    first = client.files(first=2)["files"]
    (wandb_server.root / RUN / "b").unlink()
    wandb_server.add_file(RUN, "c2", b"")
    assert client.names(first=10, after=first["pageInfo"]["endCursor"]) == ["c", "c2", "d"]


def test_cached_listing_sees_changes(wandb_server: LocalServer, client: Client) -> None:
    for name in ("a", "sub/b"):
        wandb_server.add_file(RUN, name, b"")
    for folder in (wandb_server.root / RUN, wandb_server.root / RUN / "sub"):
        os.utime(folder, (1_700_000_000, 1_700_000_000))
    assert client.names() == ["a", "sub/b"]
    (wandb_server.root / RUN / "sub" / "c").write_bytes(b"")
    assert client.names() == ["a", "sub/b", "sub/c"]
    (wandb_server.root / RUN / "a").unlink()
    assert client.names() == ["sub/b", "sub/c"]


def test_names_return_existing_files(wandb_server: LocalServer, client: Client) -> None:
    for name in ("a", "b", "c"):
        wandb_server.add_file(RUN, name, b"")
    run = client.files(names=["c", "a", "missing", "../run1/b", "c", None])
    assert [edge["node"]["name"] for edge in run["files"]["edges"]] == ["a", "c"]
    assert run["fileCount"] == 3


def test_pattern_is_like(wandb_server: LocalServer, client: Client) -> None:
    for name in ("a.json", "B.JSON", "sub/c.json", "d_json", "e.txt"):
        wandb_server.add_file(RUN, name, b"")
    assert client.names(pattern="%.json") == ["B.JSON", "a.json", "sub/c.json"]
    assert client.names(pattern="_.json") == ["B.JSON", "a.json"]
    assert client.names(pattern="%\\_json") == ["d_json"]
    assert client.names(pattern="%.json", first=1) == ["B.JSON"]


def test_invalid_query_arguments_are_errors(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a", b"")
    for variables in ({"names": ["a"], "pattern": "%"}, {"first": -1}, {"after": "no cursor"}):
        answer = client.post(FILES, run="run1", **variables)
        assert answer["errors"]
        assert answer["data"]["project"]["run"]["files"] is None


def test_missing_objects_are_null(wandb_server: LocalServer, client: Client) -> None:
    query = 'query($p: String, $r: String!) { project(name: $p, entityName: "team") { run(name: $r) { id } } }'
    wandb_server.add_run(RUN)
    assert client.data(query, p="vision", r="missing") == {"project": {"run": None}}
    assert client.data(query, p="vision", r="../vision/run1") == {"project": {"run": None}}
    assert client.data(query, p="missing", r="run1") == {"project": None}
    assert client.data(query, p="..", r="run1") == {"project": None}
    assert client.files()["fileCount"] == 0


def test_symbolic_links_are_neither_listed_nor_followed(
    wandb_server: LocalServer, client: Client, tmp_path: Path
) -> None:
    run = wandb_server.add_run(RUN)
    (tmp_path / "secret").write_bytes(b"secret")
    (run / "file").symlink_to(tmp_path / "secret")
    (run / "folder").symlink_to(tmp_path)
    wandb_server.add_file(RUN, "a", b"")
    assert client.names() == ["a"]
    assert client.names(names=["file", "folder/secret"]) == []
    assert client.http.get(f"/files/{RUN}/folder/secret").status_code == 404
    answer = client.store.put(client.upload_url("folder/new"), content=b"x")
    assert answer.status_code == 400
    assert not (tmp_path / "new").exists()


def test_invalid_query_is_a_bad_request(client: Client) -> None:
    for body in (b"no json", b"[]", b'{"query": 1}', b'{"query": "{ viewer { id "}', b'{"query": "{ nothing }"}'):
        answer = client.http.post("/graphql", content=body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["message"]


def reference_like(pattern: str, text: str) -> bool:
    """A literal implementation of the definition; slow."""
    if not pattern:
        return not text
    head, rest = pattern[0], pattern[1:]
    if head == "%":
        return any(reference_like(rest, text[cut:]) for cut in range(len(text) + 1))
    if head == "\\" and rest:
        head, rest = rest[0], rest[1:]
    elif head == "_":
        return bool(text) and reference_like(rest, text[1:])
    return bool(text) and text[0].lower() == head.lower() and reference_like(rest, text[1:])


@given(pattern=st.text("aAb.%_\\\n", max_size=8), text=st.text("aAb.%_\\\n", max_size=8))
def test_like_follows_its_definition(pattern: str, text: str) -> None:
    assert bool(compile_like(pattern).fullmatch(text)) == reference_like(pattern, text)


def test_like_patterns_take_bounded_time() -> None:
    assert not compile_like("%a" * 30 + "%b").fullmatch("a" * 2_000)


def test_upload_appears_when_complete(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "sub/model.bin", b"old")
    created = client.data(CREATE, files=["sub/model.bin"])["createRunFiles"]
    assert created["runID"] == client.files()["id"]
    assert created["uploadHeaders"] == []
    (target,) = created["files"]
    assert target["name"] == "sub/model.bin"

    def body() -> Iterator[bytes]:
        yield LARGE
        assert client.names() == ["sub/model.bin"]
        assert client.get("sub/model.bin").content == b"old"
        yield LARGE

    answer = client.store.put(target["uploadUrl"], content=body())
    assert answer.status_code == 200
    assert client.names() == ["sub/model.bin"]
    downloaded = client.get("sub/model.bin")
    assert downloaded.content == LARGE * 2
    assert downloaded.headers["ETag"] == answer.headers["ETag"]


def test_truncated_upload_keeps_the_old_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    uploads = tmp_path / ".wbfiles" / "uploads"

    def body() -> Iterator[bytes]:
        yield b"new"
        while not list(uploads.iterdir()):
            pass
        raise ConnectionAbortedError

    with LocalServer(tmp_path) as server:
        server.add_file(RUN, "a", b"old")
        client = Client(server)
        with pytest.raises(ConnectionAbortedError):
            client.store.put(client.upload_url("a"), content=body())
        client.close()
    assert (tmp_path / RUN / "a").read_bytes() == b"old"
    assert list(uploads.iterdir()) == []
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


@pytest.mark.parametrize(
    "name", ["", "..", "../a", "a/../../b", "/etc/a", "a\\b", "a\0b", "a//b", "a/", "./a", "C:\\a"]
)
def test_name_outside_the_run_is_refused(wandb_server: LocalServer, client: Client, name: str) -> None:
    wandb_server.add_run(RUN)
    before = sorted(wandb_server.root.rglob("*"))
    assert client.post(CREATE, files=["good", name])["data"]["createRunFiles"] is None
    with pytest.raises(ValueError, match="cannot be the name"):
        wandb_server.add_file(RUN, name, b"x")
    assert [path for path in sorted(wandb_server.root.rglob("*")) if ".wbfiles" not in path.parts] == before


@pytest.mark.parametrize("run", ["team/vision", "team/vision/run1/more", "../vision/run1", ".wbfiles/vision/run1"])
def test_run_outside_the_root_is_refused(wandb_server: LocalServer, run: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be the name|expected entity/project/run_id"):
        wandb_server.add_run(run)


def test_file_and_a_folder_of_one_name_conflict(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a", b"")
    wandb_server.add_file(RUN, "folder/b", b"")
    assert client.store.put(client.upload_url("a/b"), content=b"x").status_code == 409
    assert client.store.put(client.upload_url("folder"), content=b"x").status_code == 409
    assert client.names() == ["a", "folder/b"]


def test_name_too_long_for_the_disk_is_refused(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_run(RUN)
    answer = client.store.put(client.upload_url("a" * 300), content=b"x")
    assert answer.status_code == 400
    assert "<Code>KeyTooLongError</Code>" in answer.text


def test_files_of_an_unknown_run_cannot_be_created(client: Client) -> None:
    answer = client.post(CREATE, files=["a"])
    assert answer["data"]["createRunFiles"] is None
    assert "run team/vision/run1 not found" in answer["errors"][0]["message"]


def test_deletion_removes_files_and_emptied_folders(wandb_server: LocalServer, client: Client) -> None:
    for name in ("a", "keep/b", "deep/er/c", "keep/d"):
        wandb_server.add_file(RUN, name, b"")
    run = client.data(FILES, run="run1")["project"]
    ids = {edge["node"]["name"]: edge["node"]["id"] for edge in run["run"]["files"]["edges"]}
    project = int(run["internalId"])
    pending = [ids["a"], ids["keep/b"], ids["deep/er/c"]]
    assert client.data(DELETE, files=pending, project=project) == {"deleteFiles": {"success": True}}
    assert client.names() == ["keep/d"]
    assert [path.name for path in (wandb_server.root / RUN).iterdir()] == ["keep"]


def test_deletion_reports_missing_files_and_deletes_the_rest(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a", b"")
    wandb_server.add_file(RUN, "b", b"")
    ids = [client.node(name)["id"] for name in ("a", "b")]
    (wandb_server.root / RUN / "a").unlink()
    assert client.data(DELETE, files=ids) == {"deleteFiles": {"success": False}}
    assert client.names() == []
    assert (wandb_server.root / RUN).is_dir()


def test_wrong_id_or_project_deletes_nothing(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a", b"")
    good = client.node("a")["id"]
    run_id = client.files()["id"]
    outside = base64.b64encode(b"File:v1:team/vision/run1/../run1/a").decode()
    for files, project in (([good, "nonsense"], None), ([good, run_id], None), ([good], 1)):
        assert client.post(DELETE, files=files, project=project)["data"]["deleteFiles"] is None
    assert client.data(DELETE, files=[outside]) == {"deleteFiles": {"success": False}}
    assert client.names() == ["a"]


def test_run_is_made_and_changed(wandb_server: LocalServer, client: Client) -> None:
    given = {"entityName": "team", "modelName": "vision", "name": "run1", "config": '{"lr": {"value": 0.1}}'}
    made = client.data(UPSERT, input=given)["upsertBucket"]
    assert made["inserted"]
    assert made["bucket"]["state"] == "running"
    assert (wandb_server.root / RUN).is_dir()
    changed = client.data(UPSERT, input={"id": made["bucket"]["id"], "displayName": "Best"})["upsertBucket"]
    assert not changed["inserted"]
    client.http.post(f"/files/{RUN}/file_stream", json={"complete": True, "exitcode": 0})
    query = '{ project(name: "vision", entityName: "team") { run(name: "run1") { displayName config state } } }'
    assert client.data(query)["project"]["run"] == {
        "displayName": "Best",
        "config": given["config"],
        "state": "finished",
    }


def test_run_attributes_outlive_the_server(tmp_path: Path) -> None:
    query = '{ project(name: "vision", entityName: "team") { run(name: "run1") { displayName tags } } }'
    given = {"entityName": "team", "modelName": "vision", "name": "run1", "displayName": "Best", "tags": ["x"]}
    with LocalServer(tmp_path) as server:
        client = Client(server)
        client.data(UPSERT, input=given)
        client.close()
    with LocalServer(tmp_path) as server:
        client = Client(server)
        assert client.data(query)["project"]["run"] == {"displayName": "Best", "tags": ["x"]}
        client.close()


@pytest.fixture
def with_runs(client: Client, wandb_server: LocalServer) -> Client:
    for number, (state, rate) in enumerate([("finished", 0.3), ("failed", 0.1), ("finished", 0.2)]):
        given = {
            "entityName": "team",
            "modelName": "vision",
            "name": f"run{number}",
            "displayName": f"Run {number}",
            "state": state,
            "config": f'{{"lr": {{"value": {rate}}}}}',
            "tags": [f"tag{number}"],
        }
        client.data(UPSERT, input=given)
    wandb_server.add_file("team/vision/run1", "wandb-summary.json", b'{"loss": 7}')
    return client


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("{}", ["run0", "run1", "run2"]),
        ('{"state": "finished"}', ["run0", "run2"]),
        ('{"state": {"$ne": "finished"}}', ["run1"]),
        ('{"displayName": "Run 1"}', ["run1"]),
        ('{"display_name": {"$regex": "[12]$"}}', ["run1", "run2"]),
        ('{"config.lr": {"$gt": 0.15, "$lt": 0.25}}', ["run2"]),
        ('{"config.lr.value": {"$gte": 0.2}}', ["run0", "run2"]),
        ('{"config.lr": {"$lte": "text"}}', []),
        ('{"config.missing": {"$exists": false}}', ["run0", "run1", "run2"]),
        ('{"summary_metrics.loss": 7}', ["run1"]),
        ('{"tags": "tag2"}', ["run2"]),
        ('{"tags": {"$in": ["tag0", "tag2"]}}', ["run0", "run2"]),
        ('{"name": {"$nin": ["run0"]}, "state": "finished"}', ["run2"]),
        ('{"$or": [{"name": "run0"}, {"$and": [{"name": "run1"}, {"state": "failed"}]}]}', ["run0", "run1"]),
        ('{"$nor": [{"name": "run0"}, {"state": "failed"}]}', ["run2"]),
        ('{"username": "local", "state": "failed"}', ["run1"]),
        ('{"config.lr": {"$not": {"$gt": 0.15}}}', ["run1"]),
    ],
)
def test_runs_are_filtered(with_runs: Client, filters: str, expected: list[str]) -> None:
    project = with_runs.data(RUNS, filters=filters, order="+name")["project"]
    assert [edge["node"]["name"] for edge in project["runs"]["edges"]] == expected
    assert project["runCount"] == len(expected)


@pytest.mark.parametrize("filters", ['{"$where": "1"}', '{"name": {"$near": 1}}', '{"$or": 1}', "[]", "no json"])
def test_unsupported_filter_is_an_error(with_runs: Client, filters: str) -> None:
    assert with_runs.post(RUNS, filters=filters)["errors"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("+config.lr", ["run1", "run2", "run0"]),
        ("-name", ["run2", "run1", "run0"]),
        ("-summary_metrics.loss", ["run1", "run0", "run2"]),
        ("+created_at", ["run0", "run1", "run2"]),
    ],
)
def test_runs_are_ordered_and_paged(with_runs: Client, order: str, expected: list[str]) -> None:
    found: list[str] = []
    after, more = None, True
    while more:
        page = with_runs.data(RUNS, order=order, after=after, first=1)["project"]["runs"]
        found += [edge["node"]["name"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert found == expected


@pytest.mark.parametrize("order", ["created_at", "+"])
def test_unsupported_order_is_an_error(with_runs: Client, order: str) -> None:
    assert with_runs.post(RUNS, order=order)["errors"]


def test_recorded_requests_contain_no_secrets(wandb_server: LocalServer, client: Client) -> None:
    wandb_server.add_file(RUN, "a b", b"0123")
    etag = client.get("a b").headers["ETag"]
    wandb_server.clear_requests()
    client.http.get(f"/files/{RUN}/a b")
    client.get("a b", Range="bytes=1-2", If_Match=etag)
    redirect, listing, download = wandb_server.requests
    assert (redirect.method, redirect.path, redirect.status) == ("GET", f"/files/{RUN}/a b", 302)
    assert redirect.authorized
    assert (listing.path, listing.operation, listing.status) == ("/graphql", "Files", 200)
    assert (download.path, download.status) == (f"/store/{RUN}/a b", 206)
    assert (download.range, download.if_match, download.authorized) == ("bytes=1-2", etag, False)
    shown = repr(wandb_server.requests) + repr(wandb_server)
    assert "X-Amz" not in shown
    assert wandb_server.api_key not in shown


def test_only_the_latest_requests_are_recorded(tmp_path: Path) -> None:
    with LocalServer(tmp_path, remembered_requests=2) as server:
        for status in (404, 404, 404):
            assert (
                httpx.get(f"{server.base_url}/{len(server.requests)}", trust_env=False, verify=NO_TLS).status_code
                == status
            )
        assert [request.path for request in server.requests] == ["/1", "/2"]


async def test_it_runs_under_async_with(tmp_path: Path) -> None:
    async with LocalServer(tmp_path) as server, httpx.AsyncClient(trust_env=False, verify=NO_TLS) as http:
        assert (await http.get(server.base_url)).status_code == 404


def test_it_is_open_only_between_start_and_close(tmp_path: Path) -> None:
    server = LocalServer(tmp_path)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.base_url
    with server:
        url = server.base_url
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        with pytest.raises(OSError, match="in use"):
            LocalServer(tmp_path, port=urlsplit(url).port or 0).start()
    server.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False, verify=NO_TLS)
    with server:
        assert httpx.get(server.base_url, trust_env=False, verify=NO_TLS).status_code == 404


def test_closing_aborts_downloads_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    server = LocalServer(tmp_path).start()
    os.truncate(server.add_file(RUN, "data", b""), 64 * MEBIBYTE)
    client = Client(server)
    with client.store.stream("GET", client.node("data")["directUrl"]) as answer:
        server.close()
        assert set(threading.enumerate()) == before
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            answer.read()
    client.close()


def test_pytest_plugin_costs_nothing_until_it_is_used() -> None:
    script = (
        "import sys, wbfiles_async.testing.pytest_plugin\n"
        "assert 'graphql' not in sys.modules\n"
        "assert 'wbfiles_async.testing._server' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_missing_graphql_core_names_the_extra() -> None:
    script = (
        "import sys\n"
        "sys.modules['graphql'] = None\n"
        "try:\n"
        "    from wbfiles_async.testing import LocalServer\n"
        "except ImportError as error:\n"
        "    assert \"pip install '.[server]'\" in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


class TestMarkedUploads:
    """A server that lists an upload only after it has been marked."""

    @pytest.fixture
    def marking_server(self, tmp_path: Path) -> Iterator[LocalServer]:
        with LocalServer(tmp_path / "marking_server", told_of_uploads=True) as server:
            server.add_file("team/vision/run1", "a", b"old")
            yield server

    @pytest.fixture
    def marking_client(self, marking_server: LocalServer) -> Iterator[Client]:
        client = Client(marking_server)
        with client.http, client.store:
            yield client

    def test_old_file_stays_until_marked(self, marking_client: Client) -> None:
        for name in ("a", "b"):
            assert marking_client.store.put(marking_client.upload_url(name), content=b"new").status_code == 200
        assert marking_client.names() == ["a"]
        assert marking_client.get("a").content == b"old"
        assert marking_client.data(MARK, files=["a", "b"])["markRunFilesUploaded"] == {"success": True}
        assert marking_client.names() == ["a", "b"]
        assert marking_client.get("a").content == marking_client.get("b").content == b"new"

    def test_last_of_several_uploads_counts(self, marking_server: LocalServer, marking_client: Client) -> None:
        for content in (b"first", b"second"):
            marking_client.store.put(marking_client.upload_url("b"), content=content)
        marking_client.data(MARK, files=["b"])
        assert marking_client.get("b").content == b"second"
        assert list((marking_server.root / ".wbfiles" / "uploads").iterdir()) == []

    def test_logged_run_marks_its_files(self, marking_client: Client) -> None:
        marking_client.store.put(marking_client.upload_url("b"), content=b"new")
        assert (
            marking_client.http.post("/files/team/vision/run1/file_stream", json={"uploaded": ["b"]}).status_code == 200
        )
        assert marking_client.names() == ["a", "b"]

    def test_marking_missing_files_fails(self, marking_client: Client) -> None:
        assert marking_client.data(MARK, files=["a", "absent"])["markRunFilesUploaded"] == {"success": False}
        assert "not found" in marking_client.post(MARK, files=["a"], run="absent")["errors"][0]["message"]

    def test_server_announces_that_uploads_must_be_marked(self, marking_client: Client) -> None:
        features = marking_client.data("{ serverInfo { features { name isEnabled } } }")["serverInfo"]["features"]
        assert features == [{"name": "MARK_RUN_FILES_UPLOADED", "isEnabled": True}]
