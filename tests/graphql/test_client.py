"""Requests to the API: retries, credentials, rate limits, and every kind of invalid response."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import attrs
import httpx
import pytest
import respx
from scripted_server import (
    API_KEY,
    RUN,
    Answer,
    ScriptedServer,
    SkippingClock,
    client,
    clients_use,
    error_of,
    graphql_answer,
    quick,
    with_clock,
)
from scripted_server import server as server
from scripted_server import waits as waits

from wbfiles_async import (
    ApiError,
    AsyncApi,
    AsyncFile,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitedError,
    RemoteFileNotFoundError,
    RunNotFoundError,
    TransferError,
    WBFilesError,
)

BASE_URL = "https://api.example"

Reply = httpx.Response | Exception | Callable[[dict[str, object]], httpx.Response]


@attrs.define
class Api:
    """A scripted API: each request gets the next reply; the last one repeats."""

    replies: list[Reply]
    queries: list[dict[str, object]] = attrs.field(factory=list)
    requests: list[httpx.Request] = attrs.field(factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.queries.append(body["variables"] | {"operation": body["query"].split("(")[0].split()[1]})
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        if callable(reply):
            return reply(self.queries[-1])
        # A response can be sent once only.
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    @property
    def operations(self) -> list[object]:
        return [query["operation"] for query in self.queries]


def open_client(api: Api, **options: object) -> AsyncApi:
    transport = httpx.MockTransport(api)
    return with_clock(AsyncApi(base_url=BASE_URL, api_key=API_KEY, transport=transport, options=quick(**options)))


def data(value: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"data": value}, headers={k.replace("_", "-"): v for k, v in headers.items()})


def node(name: str, **attributes: object) -> dict[str, object]:
    return {"id": f"id-{name}", "name": name, "sizeBytes": 4, "md5": "x", "updatedAt": "t"} | attributes


def page(*names: str, cursor: str | None = None, more: bool = False, count: int = 100) -> httpx.Response:
    edges = [{"node": node(name), "cursor": cursor or name} for name in names]
    files = {"edges": edges, "pageInfo": {"endCursor": cursor, "hasNextPage": more}}
    return data({"project": {"internalId": "7", "run": {"fileCount": count, "files": files}}})


def listing(api: AsyncApi, per_page: int = 10) -> Awaitable[list[AsyncFile]]:
    return api.run(RUN).files(per_page=per_page).to_list()


@pytest.fixture(autouse=True)
def paces(waits: list[float]) -> list[float]:
    """The waits in seconds, for retries or rate limits; they end at once."""
    return waits


# Requests


async def test_request_has_the_key_and_our_user_agent() -> None:
    api = Api([page("a")])
    async with open_client(api) as client:
        await listing(client)
    request = api.requests[0]
    assert (request.method, str(request.url)) == ("POST", f"{BASE_URL}/graphql")
    assert request.headers["authorization"] == httpx.BasicAuth("api", API_KEY)._auth_header
    assert request.headers["user-agent"].startswith("wbfiles-async/")
    assert "use-admin-privileges" not in request.headers


@pytest.mark.fault(73)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 522, 524])
async def test_passing_failure_is_retried(status: int, waits: list[float]) -> None:
    api = Api([httpx.Response(status), httpx.ConnectError("x"), httpx.ReadTimeout("x"), page("a")])
    async with open_client(api, attempts=4) as client:
        assert [file.name for file in await listing(client)] == ["a"]
    assert len(waits) == 3


TOO_SLOW: dict[str, Reply] = {
    "a gateway timeout": httpx.Response(504),
    "a broken upstream": httpx.Response(502),
    "a CDN timeout": httpx.Response(524),
    "a timeout": httpx.ReadTimeout("late"),
}
each_slowness = pytest.mark.parametrize("slow", TOO_SLOW.values(), ids=TOO_SLOW.keys())


def requested_sizes(api: Api) -> list[object]:
    return [query["fileLimit"] for query in api.queries]


def delivers(largest: int, slow: Reply) -> Callable[[dict[str, object]], httpx.Response]:
    """A server that delivers pages up to this size, of a run of three files."""

    def answer(query: dict[str, object]) -> httpx.Response:
        size = query.get("perPage", 1) * query.get("fileLimit", 1)  # type: ignore[operator]
        if size <= largest:
            return page("a", "b", "c")
        if isinstance(slow, Exception):
            raise slow
        assert isinstance(slow, httpx.Response)
        return httpx.Response(slow.status_code)

    return answer


@each_slowness
async def test_timed_out_page_shrinks(slow: Reply, waits: list[float]) -> None:
    api = Api([delivers(100, slow)])
    async with open_client(api) as client:
        assert len(await listing(client, 1000)) == 3
    assert (requested_sizes(api), waits) == ([1000, 100], [])


@each_slowness
async def test_pages_shrink_to_a_minimum(slow: Reply, waits: list[float]) -> None:
    api = Api([delivers(24, slow)])
    async with open_client(api) as client:
        assert len(await listing(client, 1000)) == 3
    assert requested_sizes(api) == [1000, 100, 100, 25, 25, 10]
    assert len(waits) == 2


@pytest.mark.fault(206)
@each_slowness
async def test_undelivered_pages_end_within_one_time_budget(slow: Reply) -> None:
    skipping = SkippingClock()
    deliver_nothing = delivers(0, slow)

    def answer(query: dict[str, object]) -> httpx.Response:
        skipping.skip(19.0)
        return deliver_nothing(query)

    api = Api([answer])
    with clients_use(skipping.clock):
        began = skipping.clock.monotonic()
        async with open_client(api, attempts=10, time_budget=60.0) as client:
            await error_of(WBFilesError, listing(client, 1000))
        assert 60 <= skipping.clock.monotonic() - began < 19 + 60 + 19 + 5, (
            "one request before it counts, one in progress"
        )
    assert requested_sizes(api)[:3] == [1000, 100, 100]


@each_slowness
async def test_delivered_page_size_is_remembered(slow: Reply) -> None:
    api = Api([delivers(100, slow)])
    async with open_client(api) as client:
        for _ in range(4):
            await listing(client, 1000)
    assert requested_sizes(api) == [1000, 100, 1000, 100, 100, 100]


async def test_one_slow_page_does_not_shrink_the_next_listing() -> None:
    api = Api([httpx.Response(504), page("a")])
    async with open_client(api) as client:
        for _ in range(3):
            await listing(client, 1000)
    assert requested_sizes(api) == [1000, 100, 1000, 1000]


async def test_undelivered_pages_end_with_the_attempts() -> None:
    api = Api([httpx.Response(504, text="upstream timed out")])
    async with open_client(api, attempts=3) as client:
        error = await error_of(ApiError, listing(client, 1000))
    assert requested_sizes(api) == [1000, 100, 100, 25, 25, 10, 10, 10]
    assert error.status == 504


async def test_page_of_runs_shrinks_and_is_remembered() -> None:
    runs = {"edges": [{"node": {"name": "r"}, "cursor": "c"}], "pageInfo": {"hasNextPage": False}}

    def answer(query: dict[str, object]) -> httpx.Response:
        return data({"project": {"runs": runs}}) if query["perPage"] <= 100 else httpx.Response(504)  # type: ignore[operator]

    api = Api([answer])
    async with open_client(api) as client:
        for _ in range(4):
            assert [run.id for run in await client.runs("team/project", per_page=500).to_list()] == ["r"]
    assert [query["perPage"] for query in api.queries] == [500, 100, 500, 100, 100, 100]


async def test_lasting_failure_is_retried_as_configured() -> None:
    api = Api([httpx.Response(503, text="no healthy upstream")])
    async with open_client(api, attempts=3) as client:
        error = await error_of(ApiError, listing(client))
    assert len(api.queries) == 3
    assert error.status == 503
    assert "no healthy upstream" in str(error)
    assert "api.example" in str(error)


async def test_lasting_network_failure_says_what_to_check() -> None:
    api = Api([httpx.ConnectError("connection refused")])
    async with open_client(api, attempts=2) as client:
        error = await error_of(TransferError, listing(client))
    assert len(api.queries) == 2
    assert error.host == "api.example"
    assert "Check the network" in str(error)


STATUSES: dict[int, type[WBFilesError]] = {
    400: ApiError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: ApiError,
    409: ApiError,
    422: ApiError,
    501: ApiError,
}


@pytest.mark.fault(73)
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_lasting_refusal_is_one_request_and_a_typed_error(status: int, kind: type[WBFilesError]) -> None:
    api = Api([httpx.Response(status, json={"errors": [{"message": "because of it"}]})])
    async with open_client(api) as client:
        error = await error_of(kind, client.run(RUN).file("a"))
    assert len(api.queries) == 1
    assert status == 401 or "because of it" in str(error)
    assert getattr(error, "status", status) == status


async def test_respx_router_with_a_base_url_plugs_in() -> None:
    router = respx.MockRouter(base_url=BASE_URL)
    route = router.post("/graphql")
    route.side_effect = [httpx.Response(500), page("a")]
    transport = httpx.MockTransport(router.async_handler)
    async with AsyncApi(base_url=BASE_URL, api_key=API_KEY, transport=transport) as client:
        assert len(await listing(client)) == 1
    assert route.call_count == 2


# Rate limits


@pytest.mark.fault(47)
async def test_429_is_retried_after_the_stated_time(waits: list[float]) -> None:
    api = Api([httpx.Response(429, json={"error": "rate limit exceeded"}, headers={"Retry-After": "3"}), page("a")])
    async with open_client(api) as client:
        await listing(client)
    assert len(waits) == 1
    assert 3 <= waits[0] <= 3.5


@pytest.mark.fault(47)
async def test_429_beyond_the_time_budget_raises_at_once() -> None:
    api = Api([httpx.Response(429, json={"error": "rate limit exceeded"}, headers={"Retry-After": "200"})])
    async with open_client(api, time_budget=100.0) as client:
        error = await error_of(RateLimitedError, listing(client))
    assert len(api.queries) == 1
    assert (error.status, error.retry_after) == (429, 200)
    assert "rate limit exceeded" in str(error)


@pytest.mark.fault(74)
async def test_used_up_limit_delays_all_tasks_of_a_client(paces: list[float]) -> None:
    used_up = page("a")
    used_up.headers.update({"RateLimit-Remaining": "0", "RateLimit-Reset": "7"})
    api = Api([used_up, page("a")])
    async with open_client(api) as client:
        await listing(client)
        assert paces == []
        await asyncio.gather(*(client.run(RUN).file("a") for _ in range(3)))
    assert len(paces) == 3
    assert all(6 < pace <= 7 for pace in paces)


@pytest.mark.fault(74)
async def test_unused_or_invalid_limit_delays_nothing(paces: list[float]) -> None:
    for remaining, reset in (("1", "30"), ("0", "soon"), ("0", "-5"), ("", "30"), ("0", "")):
        answer = page("a")
        answer.headers.update({"RateLimit-Remaining": remaining, "RateLimit-Reset": reset})
        async with open_client(Api([answer])) as client:
            await listing(client)
            await listing(client)
    assert paces == []


@pytest.mark.fault(74)
async def test_distant_reset_is_bounded(paces: list[float]) -> None:
    answer = page("a")
    answer.headers.update({"RateLimit-Remaining": "0", "RateLimit-Reset": "1000000"})
    async with open_client(Api([answer, page("a")])) as client:
        await listing(client)
        await listing(client)
    assert [round(pace) for pace in paces] == [60]


# Invalid responses

BROKEN: dict[str, tuple[bytes, str]] = {
    "HTML": (b"<!doctype html><title>Log in</title>", "HTML"),
    "nothing": (b"", "no JSON"),
    "half a body": (page("a").content[:-20], "only a part"),
    "a list": (b"[]", "no GraphQL answer"),
    "no data": (b"{}", "without data"),
    "null data": (b'{"data": null}', "without data"),
    "nested without end": (b"[" * 200_000, "JSON"),
    "no text": (b"\xff\xfe\x00", "JSON"),
}


@pytest.mark.fault(67)
@pytest.mark.parametrize(("body", "message"), BROKEN.values(), ids=BROKEN.keys())
async def test_invalid_response_raises_and_is_never_an_empty_list(body: bytes, message: str) -> None:
    api = Api([httpx.Response(200, content=body)])
    async with open_client(api) as client:
        error = await error_of(ApiError, client.run(RUN).file("a"))
    assert message in str(error)
    assert "api.example" in str(error)


@pytest.mark.fault(67)
async def test_endless_response_is_cut_off(server: ScriptedServer) -> None:
    server.on("/graphql", Answer(body=b" " * (1 << 20), piece=1 << 20, endless=True, framing="chunked"))
    async with client(server) as api:
        error = await error_of(ApiError, listing(api))
    assert "MiB" in str(error)


async def test_compressed_response_is_read_within_bounds(
    server: ScriptedServer,
) -> None:
    body = gzip.compress(graphql_answer({"project": None}).body)
    compressed = Answer(headers={"Content-Encoding": "gzip"}, body=body)
    bomb = gzip.compress(b" " * (200 << 20), 9)
    async with client(server) as api:
        server.on("/graphql", compressed)
        await error_of(RunNotFoundError, listing(api))
        server.on("/graphql", compressed.but(body=bomb))
        tracemalloc.start()
        try:
            error = await error_of(ApiError, listing(api))
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()
        server.on("/graphql", compressed.but(body=body[:-6] + b"broken"))
        await error_of(TransferError, listing(api))
    assert "32 MiB" in str(error)


ERRORS = {
    "objects": ({"errors": [{"message": "one"}, {"message": "two", "path": ["x"]}]}, ("one", "two")),
    "texts": ({"errors": ["one", "two"]}, ("one", "two")),
    "an error": ({"error": "one"}, ("one",)),
    "an error object": ({"error": {"message": "one"}}, ("one",)),
    "a string for the list": ({"errors": "one"}, ("one",)),
    "without a message": ({"errors": [{}]}, ("an error without a message",)),
}


@pytest.mark.fault(66)
@pytest.mark.parametrize(("body", "messages"), ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("partial", [False, True])
async def test_errors_raise_with_all_messages_despite_data(
    body: dict[str, object], messages: tuple[str, ...], partial: bool
) -> None:
    whole = json.loads(page("a").content)
    api = Api([httpx.Response(200, json=body | (whole if partial else {"data": None}))])
    async with open_client(api) as client:
        error = await error_of(ApiError, client.run(RUN).file("a"))
    assert error.messages == messages
    assert all(message in str(error) for message in messages)


@pytest.mark.fault(68)
@pytest.mark.parametrize("answer", [{"project": None}, {"project": {"run": None}}, {}])
async def test_null_project_or_run_raises_not_found(answer: dict[str, object]) -> None:
    async with open_client(Api([data(answer)])) as client:
        run = client.run(RUN)
        files = run.files()
        for work in (files.to_list(), files.count(), files.first(), run.file("a"), run.find({"name": "a"})):
            error = await error_of(RunNotFoundError, work)
            assert error.run == RUN
            assert isinstance(error, LookupError)


@pytest.mark.fault(68)
async def test_placeholder_is_not_a_file() -> None:
    placeholder = node("a", sizeBytes=0, md5="0", updatedAt=None)
    answer = {"project": {"run": {"files": {"edges": [{"node": placeholder, "cursor": "c"}], "pageInfo": {}}}}}
    async with open_client(Api([data(answer)])) as client:
        error = await error_of(RemoteFileNotFoundError, client.run(RUN).file("a"))
    assert isinstance(error, FileNotFoundError)


# Pages


async def test_pages_are_followed_by_cursor_to_the_end() -> None:
    api = Api([page("a", "b", cursor="1", more=True), page("c", cursor="2", more=True), page("d", cursor="3")])
    async with open_client(api) as client:
        assert [file.name for file in await listing(client)] == ["a", "b", "c", "d"]
    assert [query["fileCursor"] for query in api.queries] == [None, "1", "2"]


async def test_one_page_is_prefetched() -> None:
    api = Api([page("a", cursor="1", more=True), page("b", cursor="2", more=True), page("c", cursor="3")])
    async with open_client(api) as client:
        pages = client.run(RUN).files().pages()
        await anext(pages)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(api.queries) == 2
        await pages.aclose()


@pytest.mark.fault(69)
@pytest.mark.parametrize(
    "repeated",
    [page("b", cursor="1", more=True), page("b", cursor=None, more=True), page(cursor="1", more=True)],
    ids=["the same cursor", "an earlier cursor", "an empty page"],
)
async def test_unchanged_cursor_is_an_error(repeated: httpx.Response) -> None:
    api = Api([page("a", cursor="1", more=True), repeated, repeated])
    async with open_client(api) as client, asyncio.timeout(5):
        error = await error_of(ApiError, listing(client))
    assert "cursor" in str(error)
    assert len(api.queries) <= 4


@pytest.mark.fault(69)
async def test_endless_pages_are_an_error() -> None:
    def more(query: dict[str, object]) -> httpx.Response:
        return page(cursor=str(int(str(query["fileCursor"] or 0)) + 1), more=True)

    api = Api([more])
    async with open_client(api) as client, asyncio.timeout(10):
        await error_of(ApiError, listing(client))
    assert len(api.queries) < 200


@pytest.mark.fault(70, 71)
async def test_file_that_is_on_two_pages_is_listed_once() -> None:
    api = Api([page("a", "b", cursor="1", more=True), page("b", "c", cursor="2")])
    async with open_client(api) as client:
        assert [file.name for file in await listing(client)] == ["a", "b", "c"]


@pytest.mark.parametrize(("count", "warned"), [(3, False), (2, False), (5, True)])
async def test_unlisted_files_are_reported(caplog: pytest.LogCaptureFixture, count: int, warned: bool) -> None:
    api = Api([page("a", "b", cursor="1", more=True, count=count), page("c", cursor="2", count=count)])
    async with open_client(api) as client:
        await listing(client)
        assert ("counts 2 files more than it listed" in caplog.text) is warned
        caplog.clear()
        await client.run(RUN).files(pattern="%").to_list()
    assert "more than it listed" not in caplog.text


async def test_refused_page_size_falls_back() -> None:
    def strict(query: dict[str, object]) -> httpx.Response:
        if int(str(query["fileLimit"])) > 100:
            return httpx.Response(200, json={"errors": ["first must be at most 100"]})
        return page("a", cursor="1") if query["fileCursor"] else page("z", cursor="0", more=True)

    api = Api([strict])
    async with open_client(api) as client:
        assert [file.name for file in await listing(client, per_page=5000)] == ["z", "a"]
    assert [query["fileLimit"] for query in api.queries] == [5000, 100, 100]


async def test_other_refusal_raises_after_the_fallback() -> None:
    api = Api([httpx.Response(400, json={"errors": ["no such field"]})])
    async with open_client(api) as client:
        await error_of(ApiError, listing(client, per_page=5000))
        assert len(api.queries) == 2
        await error_of(ApiError, listing(client, per_page=50))
    assert len(api.queries) == 3


# The default entity


async def test_default_entity_is_requested_once_for_all_tasks() -> None:
    def answer(query: dict[str, object]) -> httpx.Response:
        return page("a") if query["operation"] == "RunFiles" else data({"viewer": {"entity": "me", "username": "m"}})

    api = Api([answer])
    async with open_client(api) as client:
        runs = [client.run("project/run1") for _ in range(5)]
        assert [run.entity for run in runs] == [""] * 5
        await asyncio.gather(*(run.file("a") for run in runs))
        await client.run("project/run2").file("a")
    assert api.operations.count("Viewer") == 1
    assert {query["entity"] for query in api.queries if query["operation"] == "RunFiles"} == {"me"}
    assert runs[0].path == ["me", "project", "run1"]


async def test_missing_default_entity_error_says_what_to_do() -> None:
    async with open_client(Api([data({"viewer": {"entity": None}})])) as client:
        error = await error_of(ConfigurationError, client.run("project/run1").file("a"))
    assert "WANDB_ENTITY" in str(error)


async def test_failed_viewer_request_is_repeated_next_time() -> None:
    def answer(query: dict[str, object]) -> httpx.Response:
        return page("a") if query["operation"] == "RunFiles" else data({"viewer": {"entity": "me"}})

    api = Api([httpx.Response(400), answer])
    async with open_client(api) as client:
        await error_of(ApiError, client.run("project/run1").file("a"))
        assert (await client.run("project/run1").file("a")).name == "a"


# Deleting

DONE = data({"deleteFiles": {"success": True}})


@contextmanager
def deleting(*replies: Reply) -> Iterator[tuple[Api, Callable[[AsyncApi], Awaitable[None]]]]:
    """An API that lists the file ``a`` first, then gives these replies to the requests of its deletion."""
    api = Api([page("a"), *replies])

    async def delete(client: AsyncApi) -> None:
        await (await client.run(RUN).file("a")).delete()

    yield api, delete


async def test_deletion_sends_file_id_and_project_number() -> None:
    with deleting(DONE) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert api.operations == ["RunFiles", "deleteFiles"]
    assert (api.queries[1]["files"], api.queries[1]["projectId"]) == (["id-a"], 7)


async def test_unknown_project_number_is_requested() -> None:
    api = Api([page("a"), DONE])
    async with open_client(api) as client:
        await AsyncFile(client, node("a"), client.run(RUN)).delete()
    assert api.operations == ["RunFiles", "deleteFiles"]
    assert api.queries[1]["projectId"] == 7


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    "answer", [{"deleteFiles": {"success": False}}, {"deleteFiles": None}, {}, {"deleteFiles": {"success": "true"}}]
)
async def test_unconfirmed_deletion_raises_and_is_not_repeated(answer: dict[str, object]) -> None:
    with deleting(data(answer), page("a")) as (api, delete):
        async with open_client(api) as client:
            await error_of(ApiError, delete(client))
    assert api.operations.count("deleteFiles") == 1


async def test_unconfirmed_deletion_of_a_missing_file_succeeds() -> None:
    with deleting(data({"deleteFiles": {"success": False}}), page()) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert api.operations == ["RunFiles", "deleteFiles", "RunFiles"]


LOST: dict[str, Reply] = {
    "a broken connection": httpx.ReadError("broke"),
    "a timeout": httpx.ReadTimeout("late"),
    "a failed gateway": httpx.Response(502),
}
each_loss = pytest.mark.parametrize("lost", LOST.values(), ids=LOST.keys())


@pytest.mark.fault(75, 76)
@each_loss
async def test_lost_response_with_a_missing_file_succeeds(lost: Reply) -> None:
    with deleting(lost, page()) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert api.operations == ["RunFiles", "deleteFiles", "RunFiles"]


@pytest.mark.fault(75)
@each_loss
async def test_lost_response_with_the_file_present_is_retried(lost: Reply) -> None:
    with deleting(lost, page("a"), DONE) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert api.operations == ["RunFiles", "deleteFiles", "RunFiles", "deleteFiles"]


@pytest.mark.fault(75)
async def test_new_file_of_the_same_name_is_not_deleted() -> None:
    edges = [{"node": node("a", id="another"), "cursor": "c"}]
    again = data({"project": {"internalId": "7", "run": {"files": {"edges": edges, "pageInfo": {}}}}})
    with deleting(httpx.ReadError("broke"), again) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert api.operations.count("deleteFiles") == 1


@pytest.mark.fault(75)
async def test_unanswered_deletion_ends_with_the_attempts() -> None:
    def answer(query: dict[str, object]) -> httpx.Response:
        if query["operation"] == "deleteFiles":
            raise httpx.ReadError("broke")
        return page("a")

    api = Api([answer])
    async with open_client(api, attempts=3) as client:
        await error_of(TransferError, (await client.run(RUN).file("a")).delete())
    assert api.operations.count("deleteFiles") == 3


async def test_throttled_deletion_is_retried_without_a_lookup() -> None:
    with deleting(httpx.Response(429, headers={"Retry-After": "1"}), DONE) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert api.operations == ["RunFiles", "deleteFiles", "deleteFiles"]


async def test_old_server_is_sent_no_project_number() -> None:
    old = httpx.Response(400, json={"errors": ['Unknown argument "projectId" on deleteFiles']})
    with deleting(old, DONE) as (api, delete):
        async with open_client(api) as client:
            await delete(client)
    assert "projectId" in api.queries[1]
    assert "projectId" not in api.queries[2]


# Time


@pytest.mark.fault(13)
async def test_trickling_response_times_out(server: ScriptedServer) -> None:
    server.on("/graphql", Answer(body=b" ", piece=1, pause=0.05, framing="chunked", endless=True))
    options = quick(attempts=2, stall_seconds=0.2)
    async with AsyncApi(base_url=server.base_url, api_key=API_KEY, timeout=0.4, options=options) as api:
        await error_of(TransferError, api.run(RUN).file("a"))
    assert len(server.requests) == 2
