"""The kinds of transport: ours, ours over TLS, through proxies of all schemes, and injected ones.

The fault tests run over each of them, since all must behave alike: mark a test with ``each_transport``, or with
``ours_and_injected`` if three of them suffice. CONTRIBUTING.md lists the differences, with reasons.

If a test has parameters of its own, ours runs every case. An error of another transport depends on the value of one
parameter, such as a truncated body or a file in parts; combinations of values matter only above the transport, where
ours covers them. So each kind of transport runs cases with every value of every parameter, divided among its
members. ``--all-transports`` runs all cases over all.
"""

from __future__ import annotations

import functools
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import httpx
import httpx2
import pytest
import trustme

ProxyScheme = Literal["http", "https", "socks5h"]

each_transport = pytest.mark.each_transport
ours_and_injected = pytest.mark.each_transport("ours", "an injected client", "a client of httpx2")


@functools.cache
def authority() -> trustme.CA:
    """Return the certificate authority of all tests' servers."""
    return trustme.CA()


@functools.cache
def server_context() -> ssl.SSLContext:
    """Return the servers' SSL context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost", "store.test").configure_cert(context)
    return context


@functools.cache
def trusting() -> ssl.SSLContext:
    """Return the SSL context of injected clients; making one takes longer than most tests."""
    return ssl.create_default_context()


@attrs.frozen(kw_only=True)
class Transport:
    """One way of sending requests.

    Attributes:
        name: Its name.
        kind: Its implementation, shared with others: what sends, receives and reports errors.
        tls: Whether the server speaks TLS.
        proxy: The scheme of the proxy through which the server is reached, if any, and which it is itself.
        no_proxy: The value of ``NO_PROXY``.
        is_common: Whether every marked test runs over it.
        inject: Returns the arguments of ``AsyncApi`` that inject something.
    """

    name: str
    kind: str
    tls: bool = False
    proxy: ProxyScheme | None = None
    no_proxy: str = ""
    is_common: bool = True
    inject: Callable[[], dict[str, Any]] = dict

    def prepare(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        """Set up the environment."""
        if self.tls or self.proxy == "https":
            bundle = folder / "authorities.pem"
            if not bundle.exists():
                authority().cert_pem.write_to_path(str(bundle))
            patch.setenv("SSL_CERT_FILE", str(bundle))
        if self.no_proxy:
            patch.setenv("NO_PROXY", self.no_proxy)

    def server_context(self) -> ssl.SSLContext | None:
        """Return a server's SSL context, if it uses TLS."""
        return server_context() if self.tls else None


OURS = Transport(name="ours", kind="ours")
SOCKS = Transport(name="by SOCKS", kind="other proxies", tls=True, proxy="socks5h")
TRANSPORTS = (
    OURS,
    Transport(name="ours over TLS", kind="TLS", tls=True),
    Transport(name="by a proxy", kind="proxies", proxy="http"),
    Transport(name="NO_PROXY set", kind="proxies", no_proxy="elsewhere.example,10.0.0.0/8"),
    Transport(name="over TLS by a proxy", kind="TLS", tls=True, proxy="http"),
    SOCKS,
    Transport(name="by an https proxy", kind="other proxies", proxy="https"),
    Transport(
        name="an injected transport",
        kind="httpx",
        inject=lambda: {"transport": httpx.AsyncHTTPTransport(verify=trusting())},
    ),
    Transport(
        name="an injected client",
        kind="httpx",
        inject=lambda: {"http_client": httpx.AsyncClient(verify=trusting())},
    ),
    Transport(
        name="a client of httpx2",
        kind="httpx2",
        inject=lambda: {"http_client": httpx2.AsyncClient(verify=trusting())},
    ),
    # Its errors are translated like those of its clients, so only tests that name it use it.
    Transport(
        name="a transport of httpx2",
        kind="httpx2",
        is_common=False,
        inject=lambda: {"transport": httpx2.AsyncHTTPTransport(verify=trusting())},
    ),
)
KINDS = tuple(dict.fromkeys(transport.kind for transport in TRANSPORTS))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for all cases over all transports."""
    parser.addoption("--all-transports", action="store_true", help="run every case of a test over every transport")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "each_transport(*names): runs over each way of requests, or over these")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the marked tests over each transport."""
    mark = metafunc.definition.get_closest_marker("each_transport")
    if mark and "transport" in metafunc.fixturenames:
        chosen = [each for each in TRANSPORTS if (each.name in mark.args if mark.args else each.is_common)]
        metafunc.parametrize("transport", chosen, indirect=True, ids=lambda transport: transport.name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the cases of the marked tests to run."""
    if config.getoption("all_transports"):
        return
    tests: defaultdict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if not isinstance(item, pytest.Function) or "transport" not in item.fixturenames:
            continue
        if item.get_closest_marker("each_transport"):
            tests[item.nodeid.partition("[")[0]].append(item)
    left_out = {item for cases in tests.values() for item in _left_out(cases)}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))


def _left_out(items: Sequence[pytest.Function]) -> list[pytest.Function]:
    cases = [Case(_transport_of(item), _rows(item)) for item in items]
    kept = covering(cases)
    return [item for position, item in enumerate(items) if position not in kept]


def _transport_of(item: pytest.Function) -> Transport:
    given = item.callspec.params["transport"]
    assert isinstance(given, Transport)
    return given


def _rows(item: pytest.Function) -> dict[str, Hashable]:
    """Return a case's row in each table of parameters."""
    tables = [mark.args[0] for mark in item.iter_markers("parametrize")]
    columns = [tuple(table.replace(",", " ").split() if isinstance(table, str) else table) for table in tables]
    grouped = {name for names in columns for name in names}
    columns += [(name,) for name in item.callspec.params if name not in grouped | {"transport"}]  # of fixtures
    return {" ".join(names): tuple(id(item.callspec.params[name]) for name in names) for names in columns}


@attrs.frozen
class Case:
    """A case of a test.

    Attributes:
        transport: The way of its requests.
        values: An identifier of each parameter's value, by its name.
    """

    transport: Transport
    values: Mapping[str, Hashable]


def covering(cases: Sequence[Case]) -> set[int]:
    """Return the indices of a test's cases to run: all of ours, and each value for each other kind."""

    def shows(case: Case) -> set[tuple[object, ...]]:
        return {(case.transport.name,), *((case.transport.kind, *each) for each in case.values.items())}

    kept = {position for position, case in enumerate(cases) if case.transport is OURS}
    others = [position for position in range(len(cases)) if position not in kept]
    missing = set().union(*(shows(cases[position]) for position in others))
    taken: Counter[object] = Counter()

    def merit(position: int) -> tuple[int, int, int]:
        """New values count first, then how rarely that transport and its values were taken."""
        case = cases[position]
        shown = shows(case)
        return len(shown & missing), -sum(taken[each] for each in shown), -taken[tuple(case.values.items())]

    while missing:
        best = max(others, key=merit)
        kept.add(best)
        missing -= shows(cases[best])
        taken.update([*shows(cases[best]), tuple(cases[best].values.items())])
    return kept


@pytest.fixture
def transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Transport:
    """The transport of this test's clients; ours, if the test is not marked."""
    chosen: Transport = getattr(request, "param", OURS)
    chosen.prepare(monkeypatch, tmp_path_factory.getbasetemp())
    return chosen
