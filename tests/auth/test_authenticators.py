"""Authorization headers: keys unchanged, identity tokens exchanged, shared and renewed."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import anyio
import attrs
import httpx
import pytest

from wbfiles_async._auth.authenticators import ApiKeyAuth, Authenticator, IdentityTokenAuth
from wbfiles_async._auth.credentials import ApiKey, IdentityToken
from wbfiles_async._clock import Clock
from wbfiles_async._settings import Settings
from wbfiles_async.errors import ApiError, AuthenticationError, RateLimitedError

BASE_URL = "http://wandb.local:8080"
JWT = "eyJoZWFkZXI.eyJwYXlsb2Fk.c2lnbmF0dXJl"
KEY = "k" * 40
NOON = 1_750_000_000.0
NOON_TEXT = "2025-06-15 15:06:40"

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


@attrs.define
class PassingTime:
    """A time that only the test lets pass."""

    now: float = NOON
    uptime: float = 5.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.uptime, wall=lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.uptime += seconds


@attrs.define
class Server:
    """Issues the access tokens ``access-1``, ``access-2`` and so on, or responds with ``answer``."""

    answer: Handler | None = None
    expires_in: float = 3600
    requests: list[httpx.Request] = attrs.field(factory=list)
    responses: list[httpx.Response] = attrs.field(factory=list)

    async def send(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        token = {"access_token": f"access-{len(self.requests)}", "expires_in": self.expires_in}
        response = await self.answer(request) if self.answer else httpx.Response(200, json=token)
        self.responses.append(response)
        return response

    def always(self, status: int, **kwargs: object) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(status, **kwargs)  # type: ignore[arg-type]  # passed on as given

        self.answer = answer


@attrs.define
class Gate:
    """Holds a response back until the test releases it."""

    response: httpx.Response
    requested: anyio.Event = attrs.field(factory=anyio.Event)
    opened: anyio.Event = attrs.field(factory=anyio.Event)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requested.set()
        await self.opened.wait()
        return self.response


@attrs.define
class BrokenBody(httpx.AsyncByteStream):
    """Breaks off in the middle."""

    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"access_token": '
        raise httpx.ReadError("reset")

    async def aclose(self) -> None:
        self.closed = True


@pytest.fixture
def passing() -> PassingTime:
    return PassingTime()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{JWT}\n")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "wandb/credentials.json"


def settings(timeout: float = 19.0) -> Settings:
    return Settings(base_url=BASE_URL, entity=None, project=None, timeout=timeout, user_agent="tests/1")


@pytest.fixture
def auth(server: Server, token_file: Path, cache: Path, passing: PassingTime) -> IdentityTokenAuth:
    return IdentityTokenAuth(IdentityToken(token_file, cache), settings(), server.send, passing.clock)


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level("DEBUG"):
        yield
    logged = " ".join(record.getMessage() for record in caplog.get_records("call"))
    for secret in (KEY, "c2lnbmF0dXJl", "access-"):
        assert secret not in logged


async def bearer(auth: Authenticator) -> str:
    headers = await auth.headers()
    assert list(headers) == ["Authorization"]
    return headers["Authorization"].removeprefix("Bearer ")


def write_cache(path: Path, token: object, expires_at: object, base_url: str = BASE_URL) -> None:
    path.parent.mkdir(exist_ok=True)
    entry = {"expires_at": expires_at, "access_token": token}
    path.write_text(json.dumps({"credentials": {base_url: entry}}))


class TestApiKey:
    async def test_is_sent_as_the_password_of_user_api(self) -> None:
        auth: Authenticator = ApiKeyAuth(ApiKey(KEY))
        scheme, _, encoded = (await auth.headers())["Authorization"].partition(" ")
        assert (scheme, base64.b64decode(encoded)) == ("Basic", f"api:{KEY}".encode())

    async def test_jwt_shaped_key_is_sent_the_same_way(self) -> None:
        headers = await ApiKeyAuth(ApiKey(JWT)).headers()
        assert headers["Authorization"].startswith("Basic ")

    async def test_refused_key_is_not_retried(self) -> None:
        assert not await ApiKeyAuth(ApiKey(KEY)).refused()


class TestExchange:
    async def test_sends_the_token_file_as_a_form(self, auth: IdentityTokenAuth, server: Server) -> None:
        assert await bearer(auth) == "access-1"
        (request,) = server.requests
        assert (request.method, str(request.url)) == ("POST", f"{BASE_URL}/oidc/token")
        assert parse_qs(request.content.decode()) == {
            "grant_type": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "assertion": [JWT],
        }
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.headers["user-agent"] == "tests/1"

    async def test_is_made_once_for_many_requests(self, auth: IdentityTokenAuth, server: Server) -> None:
        assert [await bearer(auth) for _ in range(3)] == ["access-1"] * 3
        assert len(server.requests) == 1

    async def test_is_made_once_for_many_tasks(self, auth: IdentityTokenAuth, server: Server) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(auth.headers)
        assert len(server.requests) == 1

    async def test_reads_the_file_again_each_time(
        self, auth: IdentityTokenAuth, server: Server, token_file: Path, passing: PassingTime
    ) -> None:
        await auth.headers()
        token_file.write_text("a.newer.token")
        passing.advance(3600)
        await auth.headers()
        assert parse_qs(server.requests[1].content.decode())["assertion"] == ["a.newer.token"]

    async def test_closes_the_response(self, auth: IdentityTokenAuth, server: Server) -> None:
        await auth.headers()
        assert [response.is_closed for response in server.responses] == [True]

    async def test_closes_a_truncated_response(self, auth: IdentityTokenAuth, server: Server) -> None:
        body = BrokenBody()
        server.always(200, stream=body)
        with pytest.raises(httpx.ReadError):
            await auth.headers()
        assert body.closed

    async def test_works_without_a_shared_file(self, server: Server, token_file: Path) -> None:
        auth = IdentityTokenAuth(IdentityToken(token_file), settings(), server.send, Clock())
        assert [await bearer(auth) for _ in range(2)] == ["access-1"] * 2

    async def test_bounds_every_wait_of_the_request(self, auth: IdentityTokenAuth, server: Server) -> None:
        await auth.headers()
        assert server.requests[0].extensions["timeout"] == httpx.Timeout(19.0).as_dict()

    @pytest.mark.fault(77)
    async def test_times_out_on_a_trickling_server(self, server: Server, token_file: Path) -> None:
        server.answer = Gate(httpx.Response(200))
        auth = IdentityTokenAuth(IdentityToken(token_file), settings(timeout=0.01), server.send, Clock())
        with pytest.raises(httpx.ReadTimeout, match=r"no access token within 0\.01 seconds"):
            await auth.headers()

    async def test_another_task_takes_over_from_a_cancelled_one(self, auth: IdentityTokenAuth, server: Server) -> None:
        gate = server.answer = Gate(httpx.Response(200))
        got: list[str] = []

        async def second() -> None:
            got.append(await bearer(auth))

        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as first:
                async with anyio.create_task_group() as inner:
                    inner.start_soon(auth.headers)
                    await gate.requested.wait()
                    tasks.start_soon(second)
                    server.answer = None
                    first.cancel()
        assert got == ["access-2"]


class TestRenewal:
    @pytest.mark.fault(77, 103)
    async def test_happens_with_five_minutes_left(self, auth: IdentityTokenAuth, passing: PassingTime) -> None:
        seen: list[str] = []
        for seconds in (0, 3299, 1, 3299, 1):
            passing.advance(seconds)
            seen.append(await bearer(auth))
        assert seen == ["access-1", "access-1", "access-2", "access-2", "access-3"]

    async def test_of_a_short_token_happens_at_half_its_life(
        self, auth: IdentityTokenAuth, server: Server, passing: PassingTime
    ) -> None:
        server.expires_in = 60
        seen: list[str] = []
        for seconds in (0, 29, 1):
            passing.advance(seconds)
            seen.append(await bearer(auth))
        assert seen == ["access-1", "access-1", "access-2"]

    async def test_endless_token_is_taken(self, auth: IdentityTokenAuth, server: Server) -> None:
        server.expires_in = 10**400
        assert [await bearer(auth) for _ in range(2)] == ["access-1"] * 2


class TestRefusal:
    async def test_causes_a_new_token(self, auth: IdentityTokenAuth) -> None:
        seen = [await bearer(auth)]
        assert await auth.refused()
        seen.append(await bearer(auth))
        assert seen == ["access-1", "access-2"]

    @pytest.mark.fault(77)
    async def test_of_many_tasks_with_one_token_causes_one_exchange(
        self, auth: IdentityTokenAuth, passing: PassingTime
    ) -> None:
        await auth.headers()
        seen: list[str] = []
        for _ in range(5):
            assert await auth.refused()
            seen.append(await bearer(auth))
            passing.advance(1)
        assert seen == ["access-2"] * 5

    async def test_of_a_later_token_causes_another_exchange(
        self, auth: IdentityTokenAuth, passing: PassingTime
    ) -> None:
        seen: list[str] = []
        for _ in range(3):
            seen.append(await bearer(auth))
            await auth.refused()
            passing.advance(31)
        assert seen == ["access-1", "access-2", "access-3"]

    async def test_does_not_take_the_same_token_from_the_file(self, auth: IdentityTokenAuth, cache: Path) -> None:
        write_cache(cache, "revoked", "2099-01-01 00:00:00")
        seen = [await bearer(auth)]
        await auth.refused()
        seen.append(await bearer(auth))
        assert seen == ["revoked", "access-1"]

    async def test_takes_what_another_process_has_renewed(
        self, auth: IdentityTokenAuth, server: Server, cache: Path
    ) -> None:
        write_cache(cache, "revoked", "2099-01-01 00:00:00")
        seen = [await bearer(auth)]
        write_cache(cache, "renewed", "2099-01-01 00:00:00")
        await auth.refused()
        seen.append(await bearer(auth))
        assert (seen, server.requests) == (["revoked", "renewed"], [])


class TestSharedFile:
    async def test_is_written_as_wandb_writes_it(self, auth: IdentityTokenAuth, cache: Path) -> None:
        await auth.headers()
        assert cache.read_text() == (
            "{\n"
            '  "credentials": {\n'
            f'    "{BASE_URL}": {{\n'
            '      "expires_at": "2025-06-15 16:06:40",\n'
            '      "access_token": "access-1"\n'
            "    }\n"
            "  }\n"
            "}"
        )

    @pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
    async def test_is_for_its_owner_only_even_where_it_was_not(self, auth: IdentityTokenAuth, cache: Path) -> None:
        cache.parent.mkdir()
        cache.write_text("{}")
        cache.chmod(0o644)
        await auth.headers()
        assert cache.stat().st_mode & 0o777 == 0o600

    async def test_leaves_nothing_else_in_its_folder(self, auth: IdentityTokenAuth, cache: Path) -> None:
        await auth.headers()
        assert list(cache.parent.iterdir()) == [cache]

    async def test_keeps_entries_of_other_servers(self, auth: IdentityTokenAuth, cache: Path) -> None:
        write_cache(cache, "theirs", NOON_TEXT, "https://other.example")
        await auth.headers()
        entries = json.loads(cache.read_text())["credentials"]
        assert entries["https://other.example"] == {"expires_at": NOON_TEXT, "access_token": "theirs"}
        assert entries[BASE_URL]["access_token"] == "access-1"

    @pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
    async def test_stays_a_link_where_it_is_one(self, auth: IdentityTokenAuth, cache: Path, tmp_path: Path) -> None:
        cache.parent.mkdir()
        cache.symlink_to(tmp_path / "dotfiles.json")
        await auth.headers()
        assert cache.is_symlink()
        assert "access-1" in (tmp_path / "dotfiles.json").read_text()

    @pytest.mark.fault(123)
    @pytest.mark.parametrize("belongs_to_others", ["link", "file"])
    async def test_of_another_user_is_neither_read_nor_replaced(
        self,
        auth: IdentityTokenAuth,
        cache: Path,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        belongs_to_others: str,
    ) -> None:
        write_cache(tmp_path / "file", "planted", "2099-01-01 00:00:00")
        before = (tmp_path / "file").read_text()
        cache.parent.mkdir()
        cache.symlink_to(tmp_path / "file")
        try:
            os.chown(cache if belongs_to_others == "link" else tmp_path / "file", 54321, 54321, follow_symlinks=False)
        except PermissionError:
            pytest.skip("needs the right to give files away")
        assert await bearer(auth) == "access-1"
        assert (tmp_path / "file").read_text() == before
        assert list(cache.parent.iterdir()) == [cache]
        assert "belongs to another user" in caplog.text

    @pytest.mark.fault(123)
    @pytest.mark.parametrize("kind", ["/dev/zero", "pipe", "huge", "loop"])
    async def test_that_never_ends_is_not_read(
        self, auth: IdentityTokenAuth, cache: Path, caplog: pytest.LogCaptureFixture, kind: str
    ) -> None:
        cache.parent.mkdir()
        match kind:
            case "pipe":
                os.mkfifo(cache)
            case "huge":
                cache.write_bytes(b" " * (2 << 20))
            case "loop":
                cache.symlink_to(cache)
            case device:
                cache.symlink_to(device)
        before = cache.lstat()
        assert await bearer(auth) == "access-1"
        assert cache.lstat().st_ino == before.st_ino
        assert list(cache.parent.iterdir()) == [cache]
        assert f"cannot be kept in {cache}" in caplog.text

    async def test_avoids_the_exchange(self, auth: IdentityTokenAuth, server: Server, cache: Path) -> None:
        write_cache(cache, "shared", "2025-06-15 15:11:41")
        assert await bearer(auth) == "shared"
        assert server.requests == []

    @pytest.mark.parametrize("expires_at", ["2025-06-15 15:11:40", NOON_TEXT, "2024-01-01 00:00:00"])
    async def test_is_not_used_within_five_minutes_of_the_end(
        self, auth: IdentityTokenAuth, cache: Path, expires_at: str
    ) -> None:
        write_cache(cache, "shared", expires_at)
        assert await bearer(auth) == "access-1"

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "{",
            "[]",
            "null",
            '{"credentials": []}',
            '{"credentials": {"http://wandb.local:8080": "shared"}}',
            '{"credentials": {"http://wandb.local:8080": {"access_token": "shared"}}}',
            '{"credentials": {"http://wandb.local:8080": {"access_token": "s", "expires_at": "soon"}}}',
            '{"credentials": {"http://wandb.local:8080": {"access_token": "s", "expires_at": 4e9}}}',
            '{"credentials": {"http://wandb.local:8080": {"expires_at": "2099-01-01 00:00:00"}}}',
            '{"credentials": {"http://wandb.local:8080":'
            ' {"access_token": "a\\r\\nX: y", "expires_at": "2099-01-01 00:00:00"}}}',
            '{"credentials": {"http://wandb.local:8080/": {"access_token": "s", "expires_at": "2099-01-01 00:00:00"}}}',
            "[" * 100_000,
        ],
    )
    async def test_with_unusable_content_is_replaced(self, auth: IdentityTokenAuth, cache: Path, content: str) -> None:
        cache.parent.mkdir()
        cache.write_text(content)
        assert await bearer(auth) == "access-1"
        assert json.loads(cache.read_text())["credentials"][BASE_URL]["access_token"] == "access-1"

    async def test_that_cannot_be_written_only_causes_a_warning(
        self, auth: IdentityTokenAuth, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache.parent.write_text("a file in place of the folder")
        assert [await bearer(auth) for _ in range(2)] == ["access-1"] * 2
        assert f"cannot be kept in {cache}" in caplog.text

    async def test_leaves_no_temporary_file_if_it_cannot_be_replaced(
        self, auth: IdentityTokenAuth, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(source: str, target: str, **folders: int) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "replace", refuse)
        assert await bearer(auth) == "access-1"
        assert list(cache.parent.iterdir()) == []
        assert "Permission denied" in caplog.text


class TestFailure:
    @pytest.mark.fault(77)
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    async def test_rejected_identity_token_is_final_and_the_reason_is_shown(
        self, auth: IdentityTokenAuth, server: Server, token_file: Path, status: int
    ) -> None:
        server.always(status, json={"error": "invalid_grant", "error_description": "token\nexpired"})
        with pytest.raises(AuthenticationError) as caught:
            await auth.headers()
        message = str(caught.value)
        assert f"{BASE_URL} answered HTTP {status} (invalid_grant: token expired)" in message
        assert str(token_file) in message

    @pytest.mark.parametrize(
        ("body", "shown"),
        [(b"no such audience", "(no such audience)"), (b"<html>Forbidden", "HTTP 403 to"), (b"", "HTTP 403 to")],
    )
    async def test_reason_is_shown_but_not_a_web_page(
        self, auth: IdentityTokenAuth, server: Server, body: bytes, shown: str
    ) -> None:
        server.always(403, content=body)
        with pytest.raises(AuthenticationError) as caught:
            await auth.headers()
        assert shown in str(caught.value)
        assert "<" not in str(caught.value)

    @pytest.mark.fault(77)
    async def test_429_carries_the_wait(self, auth: IdentityTokenAuth, server: Server) -> None:
        server.always(429, json={"error": "rate limit exceeded"}, headers={"Retry-After": "7"})
        with pytest.raises(RateLimitedError, match="rate limit exceeded") as caught:
            await auth.headers()
        assert (caught.value.status, caught.value.retry_after) == (429, 7)

    @pytest.mark.fault(77)
    @pytest.mark.parametrize("status", [204, 302, 500, 503])
    async def test_any_other_status_is_left_to_the_caller(
        self, auth: IdentityTokenAuth, server: Server, status: int
    ) -> None:
        server.always(status, headers={"Location": "https://evil.example"})
        with pytest.raises(ApiError) as caught:
            await auth.headers()
        assert caught.value.status == status
        assert len(server.requests) == 1

    async def test_broken_connection_is_left_to_the_caller(self, auth: IdentityTokenAuth, server: Server) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        server.answer = answer
        with pytest.raises(httpx.ConnectError):
            await auth.headers()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"[" * 100_000,
            b'{"expires_in": 60}',
            b'{"access_token": "", "expires_in": 60}',
            b'{"access_token": 5, "expires_in": 60}',
            b'{"access_token": "a\\r\\nX: y", "expires_in": 60}',
            b'{"access_token": "access-1"}',
            b'{"access_token": "access-1", "expires_in": "60"}',
            b'{"access_token": "access-1", "expires_in": true}',
            b'{"access_token": "access-1", "expires_in": 0}',
            b'{"access_token": "access-1", "expires_in": NaN}',
            b'{"access_token": "access-1", "expires_in": Infinity}',
        ],
    )
    async def test_response_without_a_token_is_an_error(
        self, auth: IdentityTokenAuth, server: Server, cache: Path, body: bytes
    ) -> None:
        server.always(200, content=body)
        with pytest.raises(ApiError, match="no usable access_token") as caught:
            await auth.headers()
        assert caught.value.status == 200
        assert not cache.exists()

    async def test_is_shared_by_all_waiting_tasks(self, auth: IdentityTokenAuth, server: Server) -> None:
        gate = server.answer = Gate(httpx.Response(503))
        statuses: list[int] = []

        async def ask() -> None:
            with pytest.raises(ApiError) as caught:
                await auth.headers()
            statuses.append(caught.value.status)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
            await gate.requested.wait()
            await anyio.wait_all_tasks_blocked()
            gate.opened.set()
        assert statuses == [503] * 5
        assert len(server.requests) == 1

    async def test_is_not_reused_for_the_next_request(self, auth: IdentityTokenAuth, server: Server) -> None:
        server.always(503)
        with pytest.raises(ApiError):
            await auth.headers()
        server.answer = None
        assert await bearer(auth) == "access-2"

    @pytest.mark.parametrize(
        ("content", "flaw"),
        [(b"", "is empty"), (b" \n", "is empty"), (b"two words", "holds no token"), (b"\xff\x00", "holds no token")],
    )
    async def test_file_without_a_token_is_named(
        self, auth: IdentityTokenAuth, server: Server, token_file: Path, content: bytes, flaw: str
    ) -> None:
        token_file.write_bytes(content)
        with pytest.raises(AuthenticationError, match=f"{flaw}.*WANDB_IDENTITY_TOKEN_FILE") as caught:
            await auth.headers()
        assert str(token_file) in str(caught.value)
        assert server.requests == []

    async def test_absent_file_is_named(self, auth: IdentityTokenAuth, token_file: Path) -> None:
        token_file.unlink()
        with pytest.raises(AuthenticationError, match="cannot be read") as caught:
            await auth.headers()
        assert str(token_file) in str(caught.value)


class TestSecrecy:
    @pytest.mark.fault(110)
    @pytest.mark.parametrize("status", [400, 429, 500])
    @pytest.mark.parametrize(
        "description", [JWT, f"bad token {JWT}", "signature c2lnbmF0dXJl is wrong", "payload eyJwYXlsb2Fk"]
    )
    async def test_token_in_a_server_message_is_hidden(
        self, auth: IdentityTokenAuth, server: Server, status: int, description: str
    ) -> None:
        server.always(status, json={"error": "invalid_grant", "error_description": description})
        with pytest.raises((ApiError, AuthenticationError)) as caught:
            await auth.headers()
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
        assert not any(part in shown for part in JWT.split("."))

    async def test_nothing_is_shown(self, auth: IdentityTokenAuth) -> None:
        await auth.headers()
        assert "access-1" not in f"{auth!r} {auth}"
        assert KEY not in repr(ApiKeyAuth(ApiKey(KEY)))

    @pytest.mark.parametrize("store", [pickle.dumps, copy.copy, copy.deepcopy])
    async def test_nothing_is_pickled(self, auth: IdentityTokenAuth, store: Callable[[object], object]) -> None:
        with pytest.raises(TypeError, match="not pickled"):
            store(auth)
        with pytest.raises(TypeError, match="not pickled"):
            store(ApiKeyAuth(ApiKey(KEY)))
