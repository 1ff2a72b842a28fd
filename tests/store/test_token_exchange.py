"""Identity tokens for files at the API's origin: an exchange that fails, and a token that is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import (
    RUN,
    Answer,
    LastingApi,
    Program,
    ScriptedServer,
    Seen,
    SkippingClock,
    Stored,
    clients_use,
    error_of,
    graphql_answer,
    quick,
    read_parts,
    remote,
    with_clock,
)
from scripted_server import server as server
from transports import each_transport

from wbfiles_async import ApiError, AsyncApi, AuthenticationError, TransferError, WBFilesError

pytestmark = each_transport

JWT = "eyJoZWFkZXI.eyJwYXlsb2Fk.c2lnbmF0dXJl"
SMALL, LARGE, PART = b"small" * 100, bytes(range(256)) * 8192, 512 << 10
FAULTS = {"reset": Answer(head=b"", end="reset"), "503": Answer(status=503)}

each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@pytest.fixture
def clock() -> Iterator[SkippingClock]:
    skipping = SkippingClock()
    with clients_use(skipping.clock):
        yield skipping


@pytest.fixture(autouse=True)
def identity_token(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path_factory.mktemp("identity") / "token"
    path.write_text(JWT)
    monkeypatch.setenv("WANDB_IDENTITY_TOKEN_FILE", str(path))


def client_with_token(server: ScriptedServer) -> AsyncApi:
    options = quick(part_size=PART, insecure_stores=True, private_stores=True)
    return with_clock(LastingApi(base_url=server.base_url, options=options, **server.transport.inject()))


def granting() -> Program:
    """Issue the tokens ``access-1``, ``access-2`` and so on."""
    numbers = itertools.count(1)

    def grant(seen: Seen) -> Answer:
        token = {"access_token": f"access-{next(numbers)}", "expires_in": 3600}
        return Answer(body=json.dumps(token).encode())

    return grant


def put_at_api(server: ScriptedServer, name: str, data: bytes) -> dict[str, object]:
    """List a file that is served at the API's origin, to requests with a token."""
    stored = Stored(data)

    def serve(seen: Seen) -> Answer:
        return stored(seen) if "access-" in seen.headers.get("authorization", "") else Answer(status=401)

    server.on(f"/files/{name}", serve)
    return server.put(name, data, url=f"{server.base_url}/files/{name}", directUrl=None)


@each_fault
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for ever"])
async def test_failed_exchange_fails_only_files_that_need_a_token(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, fault: Answer, lasting: bool
) -> None:
    """The token expires once the files are listed."""
    contents = {"small-1": SMALL, "large": LARGE, "small-2": SMALL}
    for name, data in contents.items():
        put_at_api(server, name, data)
    for name in ("signed-1", "signed-2"):
        server.put(name, SMALL)

    def list_files(seen: Seen) -> Answer:
        clock.skip(3600.0)
        return server.list_files(seen)

    grant = granting()
    server.on("/graphql", list_files)
    server.on("/oidc/token", grant, fault, *([] if lasting else [grant]))
    async with client_with_token(server) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
    failed = {failure.name: failure.error for failure in report.failures}
    assert failed.keys() == (contents.keys() if lasting else set())
    for error in failed.values():
        assert isinstance(error, ApiError if fault.status == 503 else TransferError)
        assert "the connection to" in str(error) or "the request for an access token" in str(error)
    for name, data in (contents | {"signed-1": SMALL, "signed-2": SMALL}).items():
        path = tmp_path / name
        assert path.read_bytes() == data if name not in failed else not path.exists()


@each_fault
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "in parts"])
async def test_lasting_failure_of_the_exchange_fails_a_single_file(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, fault: Answer, data: bytes
) -> None:
    node = put_at_api(server, "a", data)
    server.on("/oidc/token", fault)
    async with client_with_token(server) as api:
        await error_of(WBFilesError, remote(api, node).fetch(tmp_path))
    assert len(server.seen("/oidc/token")) == 3, "one for each attempt"
    assert not server.seen("/files/")


@pytest.mark.parametrize("of_file", [True, False], ids=["a file", "the API"])
async def test_lasting_401_is_repeated_once_with_another_token(
    server: ScriptedServer, tmp_path: Path, clock: SkippingClock, of_file: bool
) -> None:
    node = put_at_api(server, "a", SMALL)
    server.on("/files/a", Answer(status=401))
    server.on("/graphql", graphql_answer(None, status=401))
    server.on("/oidc/token", granting())
    async with client_with_token(server) as api:
        work = remote(api, node).fetch(tmp_path) if of_file else api.run(RUN).file("a")
        error = await error_of(AuthenticationError, work)
    assert "identity token" in str(error)
    sent = [seen.headers["authorization"] for seen in server.seen("/files/a" if of_file else "/graphql")]
    assert sent == ["Bearer access-1", "Bearer access-2"]
    assert len(server.requests) == 4


async def test_refused_token_is_replaced_for_each_part(server: ScriptedServer, clock: SkippingClock) -> None:
    """Two parts are requested with a token that the server has revoked; both are requested once more."""
    node = put_at_api(server, "a", LARGE)
    stored, asked, both = Stored(LARGE), list[Seen](), asyncio.Event()

    async def serve(seen: Seen) -> Answer:
        if seen.headers["authorization"] != "Bearer access-1":
            return stored(seen)
        asked.append(seen)
        if len(asked) == 2:
            both.set()
        await both.wait()
        return Answer(status=401)

    server.on("/files/a", serve)
    server.on("/oidc/token", granting())
    async with client_with_token(server) as api:
        assert b"".join(await read_parts(api, node, 2)) == LARGE
    assert len(server.seen("/files/a")) == 4
    assert len(server.seen("/oidc/token")) == 2
