"""The number of concurrent requests, with simulated stores: near and distant, alone and with other clients."""

from __future__ import annotations

import itertools
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._store.concurrency import FEWEST, FIRST, MOST_FIRST, PROCESSED, PUSHED_BACK_REST, Concurrency

MB = 1_000_000
TICK = 0.002  # seconds; a request takes one at least


@attrs.define
class Store:
    """A store, its connection, and its client.

    Attributes:
        answer: Seconds until a response begins.
        connection: Bytes per second of one connection.
        total: Bytes per second of all connections.
        request_seconds: Seconds of the client's processor time per request, sequentially.
        takes: The number of concurrent requests above which it throttles.
    """

    answer: float = 0.0
    connection: float = 1e12
    total: float = 1e12
    request_seconds: float = 0.0002
    takes: int = 1_000_000


@attrs.define
class Client:
    """A client with an endless backlog.

    Attributes:
        rule: The rule under test.
        size: Bytes of each request.
        jitter: The share by which each response may take longer.
    """

    rule: Concurrency
    size: int
    jitter: float = 0.0
    done: int = 0
    received: float = 0.0
    refused: int = 0
    _waiting: list[float] = attrs.field(factory=list)
    _transfers: list[float] = attrs.field(factory=list)
    _processor_free: float = 0.0
    _worked: float = 0.0

    @property
    def under_way(self) -> int:
        return len(self._waiting) + len(self._transfers)

    def send(self, store: Store, now: float, others: int, chance: random.Random) -> None:
        """Keep as many requests in progress as allowed."""
        while self.under_way < self.rule.wanted:
            if self.under_way + others >= store.takes:
                self.refused += 1
                self.rule.push_back(now, self.under_way)
                return
            self._processor_free = max(now, self._processor_free) + store.request_seconds
            self._worked += store.request_seconds
            self._waiting.append(self._processor_free + store.answer * (1 + self.jitter * chance.random()))

    def receive(self, store: Store, now: float, share: float) -> None:
        """Receive the bytes of a tick, at this rate for each transfer."""
        begun = [at for at in self._waiting if at <= now]
        self._waiting = [at for at in self._waiting if at > now]
        self._transfers += [float(self.size)] * len(begun)
        if begun and not self.received:
            self.rule.record_distance(store.answer)
        came, ended = 0.0, 0
        rest = []
        for left in self._transfers:
            piece = min(left, share * TICK)
            came += piece
            if left - piece > 0.5:
                rest.append(left - piece)
            else:
                ended += 1
        is_full = self.under_way >= self.rule.wanted
        self._transfers = rest
        self.done += ended
        self.received += came
        if came:
            worked = min(now, self._worked)
            self.rule.record(
                now, requests=ended, received=int(came), is_full=is_full, worked=worked, latency=store.answer
            )


def play(store: Store, clients: list[Client], seconds: float, seed: int = 1) -> list[tuple[int, ...]]:
    """Simulate clients of a store; return each client's number of concurrent requests, tick by tick."""
    chance = random.Random(seed)
    story: list[tuple[int, ...]] = []
    for tick in itertools.count():
        now = tick * TICK
        if now > seconds:
            return story
        for client in clients:
            client.send(store, now, sum(other.under_way for other in clients) - client.under_way, chance)
        active = sum(len(client._transfers) for client in clients)
        for client in clients:
            client.receive(store, now, min(store.connection, store.total / max(1, active)))
        story.append(tuple(client.rule.wanted for client in clients))
    raise AssertionError


def settled(story: list[tuple[int, ...]]) -> list[float]:
    """Return each client's average in the second half."""
    half = story[len(story) // 2 :]
    return [sum(wanted) / len(half) for wanted in zip(*half, strict=True)]


SMALL, MEDIUM, PART = 16 * 1024, 1 << 20, 8 << 20


@pytest.mark.parametrize("ceiling", [128, 16])
@pytest.mark.parametrize("size", [SMALL, MEDIUM])
@pytest.mark.parametrize("answer", [0.02, 0.05, 0.1, 0.3])
def test_distant_store_gets_the_maximum(answer: float, size: int, ceiling: int) -> None:
    client = Client(Concurrency(ceiling), size)
    story = play(Store(answer=answer), [client], 12.0)
    assert settled(story) == pytest.approx([ceiling], rel=0.1)
    first = next(at for at, (wanted,) in enumerate(story) if wanted == ceiling) * TICK
    assert first <= 0.8 + 6 * answer


@pytest.mark.parametrize("answer", [0.0, 0.001, 0.003])
def test_near_store_gets_few_requests(answer: float) -> None:
    client = Client(Concurrency(128), SMALL)
    story = play(Store(answer=answer, request_seconds=0.001), [client], 30.0)
    assert max(wanted for (wanted,) in story) == FIRST
    assert client.done >= 0.9 * 30.0 / 0.001


def test_busy_processor_does_not_get_more_small_responses() -> None:
    client = Client(Concurrency(128), SMALL)
    story = play(Store(answer=0.02, request_seconds=0.0005), [client], 30.0)
    assert max(wanted for (wanted,) in story) == 0.02 * PROCESSED
    assert client.done >= 0.85 * 30.0 / 0.0005


@pytest.mark.parametrize("rate", [1 * MB, 32 * MB, 100 * MB])
def test_connections_grow_until_the_line_is_full(rate: float) -> None:
    total = 20 * rate
    client = Client(Concurrency(128), PART if rate > MB else MEDIUM)
    [wanted] = settled(play(Store(answer=0.005, connection=rate, total=total), [client], 40.0))
    assert 16 <= wanted <= 64
    assert client.received >= 0.75 * 40.0 * total


def test_line_filled_by_one_connection_gets_few() -> None:
    client = Client(Concurrency(128), PART)
    [wanted] = settled(play(Store(answer=0.001, connection=1000 * MB, total=1000 * MB), [client], 30.0))
    assert wanted <= 2 * FIRST


@pytest.mark.parametrize("takes", [10, 24, 50])
def test_throttling_store_gets_few_refused_requests(takes: int) -> None:
    client = Client(Concurrency(128), SMALL)
    play(Store(answer=0.05, takes=takes), [client], 60.0)
    assert client.refused <= 8
    assert client.done >= 0.6 * 60.0 * takes / 0.05


@pytest.mark.parametrize("late", [0.0, 10.0])
@pytest.mark.parametrize(("answer", "connection"), [(0.05, 1000 * MB), (0.005, 20 * MB)])
def test_two_clients_on_one_line_share_it(answer: float, connection: float, late: float) -> None:
    store = Store(answer=answer, connection=connection, total=200 * MB)
    first, second = Client(Concurrency(128), MEDIUM, 0.2), Client(Concurrency(128), MEDIUM, 0.2)
    play(store, [first], late)
    before = first.received
    play(store, [first, second], 40.0)
    gained = first.received - before, second.received
    assert min(gained) >= 0.2 * sum(gained)
    assert sum(gained) >= 0.7 * 40.0 * store.total


def feed(rule: Concurrency, rates: list[tuple[float, int]], latency: float = 0.0) -> list[int]:
    """Record these rates of requests per second, each for some seconds; return the numbers of concurrent requests."""
    now, numbers = 0.0, [rule.wanted]
    for seconds, rate in rates:
        for _ in range(round(seconds / 0.01)):
            now += 0.01
            if rule.record(now, requests=rate // 100, is_full=True, latency=latency):
                numbers.append(rule.wanted)
    return numbers


@pytest.mark.parametrize(("afterwards", "numbers"), [(1600, [8, 16, 64]), (800, [8, 16, 8])])
def test_one_measurement_without_a_gain_is_repeated(afterwards: int, numbers: list[int]) -> None:
    rule = Concurrency(128)
    assert feed(rule, [(0.28, 800), (0.2, afterwards)]) == numbers


def test_fewer_requests_are_not_tried_if_the_latency_limits_them() -> None:
    distant, near = Concurrency(16), Concurrency(16)
    assert feed(distant, [(0.3, 160), (60.0, 320)], latency=0.05) == [8, 16]
    assert min(feed(near, [(0.3, 160), (60.0, 320)], latency=0.02)) < 8


def test_latency_determines_the_initial_number() -> None:
    rule = Concurrency(128)
    assert not rule.record_distance(0.001)
    assert rule.record_distance(0.01)
    assert rule.wanted == 0.01 * PROCESSED
    assert not rule.record_distance(0.005)
    assert rule.record_distance(0.3)
    assert rule.wanted == MOST_FIRST
    assert not Concurrency(FIRST).record_distance(0.05)


def test_throttled_store_does_not_start_with_more() -> None:
    rule = Concurrency(128)
    rule.push_back(100.0, 2)
    assert not rule.record_distance(0.05)


def test_demand_of_a_large_file_raises_the_limit_up_to_the_ceiling() -> None:
    rule = Concurrency(40)
    assert rule.record_demand(0.0, 32)
    assert rule.wanted == 32
    assert not rule.record_demand(0.0, 16)
    assert rule.record_demand(0.0, 64)
    assert not rule.record_demand(0.0, 64)
    assert rule.wanted == 40


def test_large_file_does_not_raise_the_limit_of_a_throttling_store() -> None:
    rule = Concurrency(128)
    rule.push_back(100.0, 8)
    assert not rule.record_demand(100.0 + PUSHED_BACK_REST - 1, 32)
    assert rule.record_demand(100.0 + PUSHED_BACK_REST, 32)


def test_frequent_failures_reduce_requests() -> None:
    rule, now = Concurrency(128), 0.0
    for _ in range(300):
        now += 0.01
        rule.record_failure()
        rule.record(now, requests=4, is_full=True)
    assert rule.wanted == FEWEST


def test_occasional_failures_change_nothing() -> None:
    rule, now = Concurrency(128), 0.0
    rule.record_failure()
    for _ in range(100):
        now += 0.01
        rule.record(now, requests=4, is_full=True)
    assert rule.wanted >= FIRST


def test_throughput_without_waiting_requests_is_ignored() -> None:
    rule, now = Concurrency(128), 0.0
    for _ in range(1000):
        now += 0.01
        rule.record(now, requests=100, is_full=False)
    assert rule.wanted == FIRST


@given(
    st.integers(1, 300),
    st.lists(
        st.tuples(
            st.sampled_from(["record", "full", "fail", "push", "demand"]),
            st.floats(0, 2),
            st.integers(0, 1000),
            st.integers(0, 10**9),
        ),
        max_size=300,
    ),
)
def test_any_history_stays_within_the_bounds(ceiling: int, story: list[tuple[str, float, int, int]]) -> None:
    rule, now = Concurrency(ceiling), 0.0
    for event, seconds, requests, received in story:
        now += seconds
        before = rule.wanted
        match event:
            case "fail":
                rule.record_failure()
            case "push":
                rule.push_back(now, requests)
                assert rule.wanted <= before
            case "demand":
                assert rule.record_demand(now, requests) == (rule.wanted != before)
                assert rule.wanted >= before
            case _:
                changed = rule.record(now, requests=requests, received=received, is_full=event == "full")
                assert changed == (rule.wanted != before)
        assert 1 <= rule.wanted <= ceiling
