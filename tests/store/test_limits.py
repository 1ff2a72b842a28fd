"""Shared state of an origin: transfers slow down together, and spare a host that is down."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import (
    RUN,
    Answer,
    ScriptedServer,
    Seen,
    Stored,
    client,
    error_of,
    refusal,
    remote,
    temporaries,
)
from scripted_server import server as server
from scripted_server import waits as waits

from wbfiles_async import IncompleteDownloadError, StoreUnavailableError, TransferError, TransferOptions
from wbfiles_async._clock import Clock
from wbfiles_async._http import connect
from wbfiles_async._retry.budget import RetryBudget
from wbfiles_async._retry.failure import RequestFailed, RetryAction
from wbfiles_async._store.circuit_breaker import FILES, CircuitBreaker
from wbfiles_async._store.concurrency import FIRST, MOST_FIRST, PROCESSED
from wbfiles_async._store.limits import StoreLimits
from wbfiles_async._store.origin_limits import ANSWERS_FOR_DISTANCE
from wbfiles_async._store.throttle_limit import ThrottleLimit

MIB = 1 << 20
MOST = 16


def throttle(limit: ThrottleLimit, number: int, *, now: float = 0.0, retry_after: float | None = None) -> None:
    limit.record_throttled(number, now=now, retry_after=retry_after, longest=300.0, jitter=0.0)


def busy(limit: ThrottleLimit, requests: int) -> list[int]:
    """Start that many requests, and return their numbers."""
    limit.under_way = requests
    return [limit.record_sent() for _ in range(requests)]


# ThrottleLimit


def test_throttling_halves_requests_once_per_round() -> None:
    limit = ThrottleLimit(MOST)
    for number in busy(limit, MOST):
        limit.under_way -= 1
        throttle(limit, number)
    assert limit.allowed == MOST // 2


def test_each_round_of_throttling_halves_down_to_one() -> None:
    limit, allowed = ThrottleLimit(MOST), []
    for _ in range(6):
        numbers = busy(limit, limit.allowed)
        limit.under_way -= 1
        throttle(limit, numbers[0])
        allowed.append(limit.allowed)
    assert allowed == [8, 4, 2, 1, 1, 1]


def test_halving_starts_from_the_requests_in_progress() -> None:
    limit = ThrottleLimit(MOST)
    numbers = busy(limit, 4)
    limit.under_way -= 1
    throttle(limit, numbers[0])
    assert limit.allowed == 2


def test_round_of_successes_allows_one_more() -> None:
    limit = ThrottleLimit(4)
    throttle(limit, busy(limit, 4)[0])
    assert limit.allowed == 2
    grown = []
    for _ in range(8):
        limit.record_success(limit.record_sent())
        grown.append(limit.allowed)
    assert grown == [2, 3, 3, 3, 4, 4, 4, 4]


def test_pauses_grow_until_a_success() -> None:
    limit, pauses = ThrottleLimit(MOST), []
    for _ in range(4):
        throttle(limit, limit.record_sent(), now=limit.resumes_at)
        pauses.append(limit.resumes_at)
    lengths = [later - earlier for earlier, later in itertools.pairwise([0.0, *pauses])]
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]
    limit.record_success(limit.record_sent())
    throttle(limit, limit.record_sent(), now=100.0)
    assert limit.resumes_at - 100.0 == pytest.approx(lengths[0])


def test_pause_follows_the_server_within_bounds() -> None:
    limit = ThrottleLimit(MOST)
    throttle(limit, limit.record_sent(), now=50.0, retry_after=7.0)
    assert limit.resumes_at == pytest.approx(57.0)
    throttle(limit, limit.record_sent(), now=50.0, retry_after=1.0)  # a shorter one shortens nothing
    assert limit.resumes_at == pytest.approx(57.0)
    limit.record_throttled(limit.record_sent(), now=50.0, retry_after=1e9, longest=20.0, jitter=0.5)
    assert limit.resumes_at == pytest.approx(70.0)


@given(st.lists(st.tuples(st.sampled_from(["send", "pass", "throttle"]), st.floats(0, 400)), max_size=200))
def test_any_history_keeps_the_limit_within_bounds(story: list[tuple[str, float]]) -> None:
    limit, sent, now = ThrottleLimit(MOST), [0], 0.0
    for event, seconds in story:
        now += seconds
        if event == "send" and limit.has_room:
            limit.under_way += 1
            sent.append(limit.record_sent())
        elif event != "send" and limit.under_way:
            limit.under_way -= 1
            if event == "pass":
                limit.record_success(sent[-1])
            else:
                throttle(limit, sent[-1], now=now, retry_after=seconds)
        assert 1 <= limit.allowed <= MOST
        assert limit.resumes_at <= now + 300.0


# CircuitBreaker


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker()
    assert [breaker.record_exhausted(n, 100.0, since=90.0) for n in range(FILES)] == [False] * (FILES - 1) + [True]
    return breaker


def test_circuit_opens_after_consecutive_failed_files() -> None:
    breaker = CircuitBreaker()
    for _ in range(3 * FILES):
        breaker.record_exhausted("the same file", 0.0, since=0.0)
    for n in range(FILES - 2):
        breaker.record_exhausted(n, 0.0, since=0.0)
    assert not breaker.seconds_until_probe(0.0)
    breaker.record_success(0.0)
    breaker.record_exhausted("another", 0.0, since=0.0)
    assert not breaker.seconds_until_probe(0.0)
    assert opened().seconds_until_probe(100.0)


def test_probe_finds_out_whether_the_origin_is_back() -> None:
    breaker, now, sent = opened(), 100.0, []
    while now < 100.0 + 3600:
        if not breaker.seconds_until_probe(now):
            breaker.record_sent(now)
            sent.append(now)
        now += 1.0
    assert sent[0] - 100.0 == pytest.approx(5.0)
    assert all(later - earlier >= 10.0 for earlier, later in itertools.pairwise(sent))
    assert 55 <= len(sent) <= 65  # an hour, once a minute
    assert 0 < breaker.seconds_until_probe(sent[-1]) <= 60


def test_first_success_closes_the_circuit() -> None:
    breaker = opened()
    assert breaker.seconds_until_probe(101.0)
    breaker.record_success(101.0)
    assert not breaker.seconds_until_probe(101.0)
    assert not breaker.record_exhausted("one more", 101.0, since=101.0)


def test_failures_among_successes_do_not_open_the_circuit() -> None:
    breaker = CircuitBreaker()
    breaker.record_success(50.0)
    assert not any(breaker.record_exhausted(n, 60.0, since=40.0) for n in range(3 * FILES))
    assert not breaker.seconds_until_probe(60.0)
    assert [breaker.record_exhausted(n, 70.0, since=55.0) for n in range(FILES)] == [False] * (FILES - 1) + [True]


# Everything together


@pytest.mark.fault(48)
async def test_throttled_files_wait_together_without_using_their_budget(
    server: ScriptedServer, tmp_path: Path, waits: list[float]
) -> None:
    """The waiting files have a single attempt each."""
    throttled = Answer(status=503, headers={"Retry-After": "7"}, body=b"<Error><Code>SlowDown</Code></Error>")
    first = asyncio.Event()

    def refuse(seen: Seen) -> Answer:
        first.set()
        return throttled

    server.put("first", b"data", refuse, throttled, Stored(b"data"))
    others = [server.put(str(n), b"data") for n in range(50)]
    async with client(server, connections=4, attempts=3) as api, client(server, attempts=1) as single:
        reader = single._gateway.session().reader
        shared = attrs.evolve(reader.requester, limits=api._gateway.session().limits)
        single._gateway.session().reader = attrs.evolve(reader, requester=shared)
        leading = asyncio.create_task(remote(api, server.files["first"]).fetch(tmp_path))
        await first.wait()
        while api._gateway.session().limits.of(server.base_url).limit.allowed == 4:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.gather(*(remote(single, node).fetch(tmp_path) for node in others))
        await leading
    assert len(list(tmp_path.iterdir())) == 51
    assert max(waits) >= 6.9
    assert len(server.seen()) == 53


@pytest.mark.fault(48)
async def test_consecutive_small_files_wait_for_throttling(server: ScriptedServer, tmp_path: Path) -> None:
    times: list[float] = []

    def noting(seen: Seen) -> Answer:
        times.append(time.monotonic())
        return Answer(body=b"data")

    def throttling(seen: Seen) -> Answer:
        times.append(time.monotonic())
        return refusal(503, "SlowDown", Retry_After="1")

    for n in range(60):
        server.put(str(n), b"data", *((throttling, noting) if n == 17 else (noting,)))
    async with client(server, connections=2) as api:
        report = await api.run(RUN).download(tmp_path)
    assert (report.downloaded, len(times)) == (60, 61)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    at = pauses.index(max(pauses))
    assert pauses[at] > 0.9
    assert at <= 17 + 2 * 16, "no connection sends further follow-ups"


@pytest.mark.fault(48)
async def test_fewer_concurrent_requests_after_throttling(
    server: ScriptedServer, tmp_path: Path, waits: list[float]
) -> None:
    """The store throttles above four concurrent requests; the client finds that limit and stays near it."""
    refused = 0

    async def serve(seen: Seen) -> Answer:
        nonlocal refused
        if server.busy > 4:
            refused += 1
            return refusal(503, "SlowDown")
        await asyncio.sleep(0.002)
        return Answer(body=b"data")

    for n in range(300):
        server.put(str(n), b"data", serve)
    async with client(server, connections=16, attempts=8) as api:
        report = await api.run(RUN).download(tmp_path)
        allowed = api._gateway.session().limits.of(server.base_url).limit.allowed
    assert report.downloaded == 300
    assert allowed <= 8
    assert refused < 100  # otherwise it would be most of the time


async def test_other_stores_do_not_wait(server: ScriptedServer, tmp_path: Path) -> None:
    async with ScriptedServer() as other, client(server, connections=2) as api:
        slow = server.put("slow", b"data", refusal(503, "SlowDown", Retry_After="15"), Stored(b"data"))
        quick = other.put("quick", b"data")
        waiting = [asyncio.create_task(remote(api, slow | {"name": str(n)}).fetch(tmp_path)) for n in range(5)]
        while not api._gateway.session().limits.of(server.base_url).limit.resumes_at:  # noqa: ASYNC110
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await remote(api, quick).fetch(tmp_path)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        session = api._gateway.session()
        assert (session.limits.free, session.limits.under_way) == (2, 0)
    assert len(server.seen()) <= 2


async def test_slot_of_a_cancelled_waiter_goes_to_the_next() -> None:
    limiter = anyio.Semaphore(1)
    origins = StoreLimits(TransferOptions(connections=1), limiter, Clock())
    entered: list[str] = []

    async def take(name: str) -> None:
        async with origins.slot("http://store.example/a", name):
            entered.append(name)

    async with origins.slot("http://store.example/b", "first"):
        others = [asyncio.create_task(take(name)) for name in ("cancelled in line", "cancelled on its turn", "last")]
        for _ in range(3):
            await asyncio.sleep(0)
        others[0].cancel()
    others[1].cancel()  # the slot has just been assigned to it, and it has not noticed yet
    async with asyncio.timeout(5):
        await asyncio.gather(*others, return_exceptions=True)
    assert entered == ["last"]
    assert (limiter.value, origins.under_way) == (1, 0)


async def test_queue_time_is_excluded_from_the_budget(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = Clock(monotonic=lambda: now, sleep=lambda _: anyio.lowlevel.checkpoint())
    budget = RetryBudget(TransferOptions(time_budget=20.0), clock)
    failure = RequestFailed(RetryAction.RETRY, TransferError("broken"))
    await budget.spend(failure, round=budget.round)
    began, now = now, 1000.0
    budget.exclude_queue_time(began)
    await budget.spend(failure, round=budget.round)
    now = 2000.0
    with pytest.raises(TransferError):
        await budget.spend(failure, round=budget.round)


@pytest.mark.fault(48, 50)
async def test_constant_throttling_ends_with_the_attempts(
    server: ScriptedServer, tmp_path: Path, waits: list[float]
) -> None:
    node = server.put("a", b"data", refusal(503, "SlowDown"))
    async with client(server, attempts=6) as api:
        error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
    assert "503 SlowDown" in str(error)
    assert len(server.seen()) == 6
    assert sum(waits) < 6.0


# A host that is down


@pytest.mark.fault(51)
@pytest.mark.parametrize("fault", [refusal(500, "InternalError"), refusal(503, "x"), Answer(head=b"", end="close")])
async def test_thousand_files_on_a_failing_host_take_few_requests(
    server: ScriptedServer, tmp_path: Path, waits: list[float], fault: Answer
) -> None:
    connections, attempts = 4, 3
    for n in range(1000):
        server.put(str(n), b"data", fault)
    async with client(server, connections=connections, attempts=attempts) as api:
        report = await api.run(RUN).download(tmp_path, raise_on_error=False)
        assert report.failed == 1000
        spared = [failure.error for failure in report.failures if isinstance(failure.error, StoreUnavailableError)]
        assert len(spared) >= 1000 - FILES - 2 * connections
        for error in spared:
            assert error.host == "127.0.0.1"
            assert 0 < error.retry_after <= 60
            assert "receives no requests" in str(error)
        # All attempts of each failed file, and of those in progress with them; and replays.
        assert len(server.seen()) <= 2 * attempts * (FILES + 2 * connections)
        assert not temporaries(tmp_path)


@pytest.mark.fault(51, 54)
async def test_refusing_host_is_probed_until_it_is_back(
    server: ScriptedServer, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    up = False

    def serve(seen: Seen) -> Answer:
        return Stored(b"data")(seen) if up else refusal(500, "InternalError")

    nodes = [server.put(str(n), b"data", serve) for n in range(FILES + 1)]
    async with client(server, attempts=1) as api:
        for node in nodes[:FILES]:
            error = await error_of(TransferError, remote(api, node).fetch(tmp_path))
            assert not isinstance(error, StoreUnavailableError)
        count = len(server.seen())
        await error_of(StoreUnavailableError, remote(api, nodes[-1]).fetch(tmp_path))
        unavailable = await error_of(StoreUnavailableError, remote(api, nodes[-1]).read_bytes())
        assert len(server.seen()) == count
        up = True
        # As if the time in the error had passed.
        origin = api._gateway.session().limits.of(server.base_url)
        monkeypatch.setattr(origin.breaker, "_probe_at", time.monotonic() - unavailable.retry_after)
        for node in nodes:
            await remote(api, node).fetch(tmp_path)
    assert len(server.seen()) == count + len(nodes)


@pytest.mark.fault(51)
async def test_broken_files_among_good_ones_keep_the_store_available(
    server: ScriptedServer, tmp_path: Path, waits: list[float]
) -> None:
    for n in range(60):
        server.put(str(n), b"data", *([refusal(500, "InternalError")] if n % 2 else []))
    async with client(server, attempts=2, connections=2) as api:
        with pytest.raises(IncompleteDownloadError) as caught:
            await api.run(RUN).download(tmp_path)
    assert caught.value.report.downloaded == 30
    assert not any(isinstance(failure.error, StoreUnavailableError) for failure in caught.value.report.failures)


async def test_open_circuit_uses_the_other_url(server: ScriptedServer, tmp_path: Path, waits: list[float]) -> None:
    async with ScriptedServer() as dead, client(server, attempts=1) as api:
        for n in range(FILES):
            node = dead.put(str(n), b"data", refusal(500, "InternalError"))
            await error_of(TransferError, remote(api, node).fetch(tmp_path))
        server.on("/files/a", Answer(body=b"data"))
        node = dead.put("a", b"data", url=f"{server.base_url}/files/a", directUrl=dead.url("/store/a"))
        await remote(api, node).fetch(tmp_path)
        assert not dead.seen("/store/a")
    assert [seen.path for seen in server.requests] == ["/files/a"]


# The distance of a store


@pytest.fixture
def store_limits() -> StoreLimits:
    return StoreLimits(TransferOptions(), anyio.Semaphore(128, fast_acquire=True), Clock())


def test_round_trip_time_reveals_a_distant_store(store_limits: StoreLimits) -> None:
    origin, changes = store_limits.of("https://far.example/a"), list[int]()
    with store_limits.on_change(lambda: changes.append(origin.limit.allowed)):
        origin.record_round_trip(0.01)
        origin.record_round_trip(1.0)
        origin.record_round_trip(0.5)
    assert changes == [0.01 * PROCESSED, MOST_FIRST]
    assert store_limits.of("https://near.example/a").limit.allowed == FIRST


def test_short_round_trip_changes_nothing(store_limits: StoreLimits) -> None:
    """A near store may respond slowly."""
    origin = store_limits.of("https://near.example/a")
    origin.record_round_trip(0.001)
    assert origin.limit.allowed == FIRST
    for _ in range(ANSWERS_FOR_DISTANCE):
        assert origin.limit.allowed == FIRST
        origin.record_answer(0.02)
    assert origin.limit.allowed == 0.02 * PROCESSED


async def test_demand_admits_waiting_requests(store_limits: StoreLimits) -> None:
    origin = store_limits.of("https://store.example/a")
    waiting = [asyncio.create_task(origin.acquire(str(number))) for number in range(2 * FIRST)]
    await asyncio.sleep(0)
    assert origin.limit.under_way == FIRST
    origin.record_demand(2 * FIRST)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert origin.limit.under_way == 2 * FIRST


def test_closed_client_receives_no_changes(store_limits: StoreLimits) -> None:
    changes = list[None]()
    with store_limits.on_change(lambda: changes.append(None)):
        pass
    store_limits.of("https://far.example/a").record_round_trip(1.0)
    assert changes == []


async def test_distant_store_gets_many_requests_before_its_first_response(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The distance is simulated; `async_/test_connecting.py` tests its measurement."""
    monkeypatch.setattr(connect, "_round_trip_of", lambda _: 0.05)
    are_many, arrived = asyncio.Event(), set[str]()

    async def late(seen: Seen) -> Answer:
        arrived.add(seen.path)
        if len(arrived) == MOST_FIRST:
            are_many.set()
        await are_many.wait()
        return Answer(body=b"data")

    for number in range(2 * MOST_FIRST):
        server.put(str(number), b"data", late)
    async with client(server) as api, asyncio.timeout(20):
        report = await api.run(RUN).download(tmp_path)
    assert report.downloaded == 2 * MOST_FIRST


def test_throttling_only_store_is_down_after_one_time_budget() -> None:
    """The pauses double, and the deciding request is sent when the budget ends, not a long pause later."""
    now = 0.0
    clock = Clock(monotonic=lambda: now, jitter=lambda: 1.0)
    limits = StoreLimits(TransferOptions(time_budget=100), anyio.Semaphore(128, fast_acquire=True), clock)
    origin = limits.of("https://store.example/a")
    refused = TransferError("status 503")
    while not origin.breaker.is_open:
        number = origin.limit.record_sent()
        now += origin.record_throttled(number, None)
        origin.record_failure(refused, progressed=False)
        assert now < 200
    assert now == pytest.approx(100, abs=1)


def test_requested_pause_is_kept_in_full() -> None:
    now = 0.0
    clock = Clock(monotonic=lambda: now, jitter=lambda: 0.0)
    limits = StoreLimits(TransferOptions(time_budget=100), anyio.Semaphore(128, fast_acquire=True), clock)
    origin = limits.of("https://store.example/a")
    origin.record_failure(TransferError("status 503"), progressed=False)
    now = 90.0
    assert origin.record_throttled(origin.limit.record_sent(), 60.0) >= 60.0
