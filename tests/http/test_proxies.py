"""The choice of a proxy from environment variables."""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal
from urllib.parse import quote

import attrs
import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wbfiles_async._http import proxies
from wbfiles_async._http.proxies import Proxy, ProxyRules, ProxyUrlError

PROXY = "http://proxy.test:3128"


def choose(environ: Mapping[str, str], scheme: str = "http", host: str = "example.com", port: int = 80) -> str | None:
    """The chosen proxy's URL, without user and password; ``None`` for a direct connection."""
    proxy = ProxyRules.from_environment(environ).choose(scheme, host, port)
    return None if proxy is None else str(proxy)


def is_direct(no_proxy: str, host: str, port: int = 80) -> bool:
    return choose({"HTTP_PROXY": PROXY, "NO_PROXY": no_proxy}, host=host, port=port) is None


class TestVariables:
    @pytest.mark.parametrize(
        ("environ", "scheme", "expected"),
        [
            ({}, "http", None),
            ({"NO_PROXY": "x"}, "http", None),
            ({"HTTP_PROXY": "http://a:1"}, "http", "http://a:1"),
            ({"HTTP_PROXY": "http://a:1"}, "https", None),
            ({"HTTPS_PROXY": "http://a:1"}, "https", "http://a:1"),
            ({"HTTPS_PROXY": "http://a:1"}, "http", None),
            ({"HTTPS_PROXY": "http://a:1"}, "HTTPS", "http://a:1"),
            ({"ALL_PROXY": "http://a:1"}, "http", "http://a:1"),
            ({"all_proxy": "http://a:1"}, "https", "http://a:1"),
            ({"ALL_PROXY": "http://a:1", "HTTP_PROXY": "http://b:1"}, "http", "http://b:1"),
            ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:1"}, "http", "http://b:1"),
            ({"HTTP_PROXY": "http://a:1", "http_proxy": " "}, "http", "http://a:1"),
            ({"HTTP_PROXY": ""}, "http", None),
            ({"HTTP_PROXY": " http://a:1 "}, "http", "http://a:1"),
            # CGI programs: the header "Proxy" of a request becomes HTTP_PROXY.
            ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http", None),
            ({"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}, "http", "http://a:1"),
            ({"HTTPS_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "https", "http://a:1"),
        ],
    )
    def test_variable_of_scheme(self, environ: Mapping[str, str], scheme: str, expected: str | None) -> None:
        assert choose(environ, scheme) == expected

    @pytest.mark.parametrize(
        ("no_proxy", "is_direct"),
        [({"no_proxy": "example.com"}, True), ({"NO_PROXY": "example.com", "no_proxy": "other"}, False)],
    )
    def test_exceptions_in_lower_case_first(self, no_proxy: Mapping[str, str], is_direct: bool) -> None:
        assert (choose({"HTTP_PROXY": PROXY} | dict(no_proxy)) is None) is is_direct

    def test_empty_rules(self) -> None:
        assert ProxyRules.from_environment({"NO_PROXY": "*", "HTTP_PROXY": ""}).is_empty
        assert not ProxyRules.from_environment({"ALL_PROXY": PROXY}).is_empty

    def test_further_exceptions(self) -> None:
        rules = ProxyRules.from_environment({"HTTP_PROXY": PROXY}, is_excepted=lambda host: host == "intranet")
        assert rules.choose("http", "Intranet", 80) is None
        assert rules.choose("http", "internet", 80) is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # Without a scheme, and default ports: like Go.
        ("proxy.test:3128", "http://proxy.test:3128"),
        ("proxy.test", "http://proxy.test:80"),
        ("http://proxy.test", "http://proxy.test:80"),
        ("HTTPS://Proxy.Test/", "https://proxy.test:443"),
        ("socks5://proxy.test", "socks5://proxy.test:1080"),
        ("socks5h://proxy.test:9050", "socks5h://proxy.test:9050"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("[fd00::1]", "http://[fd00::1]:80"),
        ("user:word@10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("http://größe.example:1", "http://xn--gre-6ka8i.example:1"),
    ],
)
def test_url_of_a_proxy(value: str, expected: str) -> None:
    assert choose({"HTTP_PROXY": value}) == expected


SECRET = "hunter2"


@pytest.mark.parametrize(
    "value",
    [
        f"socks4://u:{SECRET}@proxy.test:1",
        f"u:{SECRET}://x@proxy.test:1",
        f"http://u:{SECRET}/x@proxy.test:1",
        f"http://u:1{SECRET}?x@proxy.test",
        "http://u:1/hunter2@proxy.test",
        f"http://u:{SECRET}#x@proxy.test",
        f"http://u:{SECRET}@proxy.test:0",
        f"http://u:{SECRET}@proxy.test:99999",
        f"http://u:{SECRET}@proxy.test:port",
        f"http://u:{SECRET}@",
        f"http://u:{SECRET}@[fd00::1",
        f"http://u:{SECRET}@pro xy.test",
        f"http://u:{SECRET}\n@proxy.test",
        f"{SECRET}://proxy.test",
        "http://",
        "://",
    ],
)
def test_bad_url_is_named_without_its_password(value: str) -> None:
    rules = ProxyRules.from_environment({"https_proxy": value, "NO_PROXY": "internal.test"})
    assert rules.choose("https", "internal.test", 443) is None, "what is not needed harms nobody"
    with pytest.raises(ProxyUrlError, match=r"^https_proxy is not the URL of a proxy .*NO_PROXY") as caught:
        rules.choose("https", "example.com", 443)
    frames = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    own_frames = frames[frames.index(proxies.__file__) :]
    assert SECRET not in str(caught.value) + own_frames + repr(rules)
    assert caught.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class TestCredentials:
    def proxy(self, value: str) -> Proxy:
        proxy = ProxyRules.from_environment({"HTTP_PROXY": value}).choose("http", "example.com", 80)
        assert proxy is not None
        return proxy

    @pytest.mark.parametrize(
        ("login", "decoded"),
        [
            ("user:word", b"user:word"),
            ("user", b"user:"),
            (":word", b":word"),
            ("us%65r:w%40rd%2F%3A", b"user:w@rd/:"),
            ("user:w:rd", b"user:w:rd"),
            ("user:w@rd", b"user:w@rd"),
            ("user:größe", "user:größe".encode()),
            ("user:%FF%zz", b"user:\xff%zz"),
        ],
    )
    def test_basic_authorization(self, login: str, decoded: bytes) -> None:
        proxy = self.proxy(f"http://{login}@proxy.test:1")
        assert proxy.authorization == "Basic " + base64.b64encode(decoded).decode()
        assert (proxy.host, proxy.port, str(proxy)) == ("proxy.test", 1, "http://proxy.test:1")

    def test_no_user(self) -> None:
        assert self.proxy(PROXY).authorization is None

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
    def test_httpx_reads_the_same_login(self, user: str, password: str) -> None:
        proxy = self.proxy(f"http://{quote(user, safe='')}:{quote(password, safe='')}@proxy.test:1")
        expected = (user, password) if user or password else None
        assert httpx.Proxy(proxy.url).auth == expected
        basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        assert proxy.authorization == (basic if expected else None)

    def test_never_shown(self) -> None:
        proxy = self.proxy(f"http://user:{SECRET}@proxy.test:1")
        encoded = base64.b64encode(f"user:{SECRET}".encode()).decode()
        shown = f"{proxy} {proxy!r} {proxy.shown} {ProxyRules.from_environment({'HTTP_PROXY': proxy.url})!r}"
        assert SECRET not in shown
        assert encoded not in shown


class TestExceptions:
    @pytest.mark.parametrize(
        ("no_proxy", "host", "port", "expected"),
        [
            # As golang.org/x/net/http/httpproxy documents Config.NoProxy.
            ("foo.com", "foo.com", 80, True),
            ("foo.com", "bar.foo.com", 80, True),
            ("foo.com", "barfoo.com", 80, False),
            (".y.com", "x.y.com", 80, True),
            ("1.2.3.4", "1.2.3.4", 80, True),
            ("1.2.3.4", "1.2.3.5", 80, False),
            ("1.2.3.4/8", "1.200.3.4", 80, True),
            ("1.2.3.4/8", "2.2.3.4", 80, False),
            ("1.2.3.4:80", "1.2.3.4", 80, True),
            ("1.2.3.4:80", "1.2.3.4", 443, False),
            ("foo.com:80", "foo.com", 80, True),
            ("foo.com:80", "a.foo.com", 80, True),
            ("foo.com:80", "foo.com", 81, False),
            ("*", "anything", 1, True),
            ("foo.com, *", "anything", 1, True),
            # From its tests.
            ("*.foo.com", "foo.com", 80, False),
            ("*.foo.com", "a.b.foo.com", 80, True),
            ("*.foo.com:443", "a.foo.com", 80, False),
            ("Foo.COM", "FOO.com", 80, True),
            (" foo.com , , bar.com", "bar.com", 80, True),
            ("fd00::/8", "fd12::1", 80, True),
            ("fd00::/8", "fc00::1", 80, False),
            ("fd00::1", "fd00::1", 80, True),
            ("fd00::1", "fd00:0:0::1", 80, True),
            ("[fd00::1]:80", "fd00::1", 80, True),
            ("[fd00::1]:80", "fd00::1", 443, False),
            ("::ffff:1.2.3.4", "1.2.3.4", 80, True),
            ("1.2.3.4", "::ffff:1.2.3.4", 80, True),
            ("1.0.0.0/8", "::ffff:1.2.3.4", 80, True),
            ("::ffff:1.0.0.0/104", "1.2.3.4", 80, True),
            # Further forms of curl.
            (".foo.com", "foo.com", 80, True),
            (".foo.com", "barfoo.com", 80, False),
            ("foo.com bar.com\tbaz.com", "baz.com", 80, True),
            ("[fd00::1]", "fd00::1", 80, True),
            ("foo.com.", "foo.com", 80, True),
            ("foo.com", "foo.com.", 80, True),
            ("1.2.3.4.", "1.2.3.4", 80, True),
            # International names, in either form on both sides.
            ("größe.example", "größe.example", 80, True),
            ("größe.example", "xn--gre-6ka8i.example", 80, True),
            ("xn--gre-6ka8i.example", "a.GRÖßE.example", 80, True),
            # URLs' own forms.
            ("fd00::1", "[fd00::1]", 80, True),
            ("fe80::1%eth0", "fe80::1%eth1", 80, True),
            ("10.0.0.0/8", "167772161", 80, True),
            # A number is no part of a name.
            ("3.4", "1.2.3.4", 80, False),
            ("::/0", "1.2.3.4", 80, False),
            ("0.0.0.0/0", "foo.com", 80, False),
            ("0.0.0.0/0", "1.2.3.4", 80, True),
        ],
    )
    def test_entry(self, no_proxy: str, host: str, port: int, expected: bool) -> None:
        assert is_direct(no_proxy, host, port) is expected

    @pytest.mark.parametrize(
        "no_proxy",
        [
            *("", ",", ".", "*.", "..", ":80", "[]", "[]:80", "10.0.0.0/99", "10.0.0.0/8:80", "example.com/8", "/8"),
            *("http://example.com", "example.com:port", "example.com:0", "[example.com", "*example.net", "exa*.com"),
            *("[fd00::1]80", "example.com:80:80", "user@example.com", "com.example", "xample.com"),
        ],
    )
    def test_entry_that_means_nothing(self, no_proxy: str) -> None:
        assert not is_direct(no_proxy, "example.com")
        assert not is_direct(no_proxy, "10.0.0.1")
        assert not is_direct(no_proxy, "fd00::1")

    @pytest.mark.parametrize(
        "host",
        [
            *("localhost", "LOCALHOST", "localhost.", "a.b.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"),
            *("::ffff:127.0.0.1", "127.1", "0x7f.1", "2130706433"),
        ],
    )
    def test_this_machine_is_always_direct(self, host: str) -> None:
        assert choose({"ALL_PROXY": PROXY}, host=host) is None

    @pytest.mark.parametrize("host", ["localhost.test", "notlocalhost", "128.0.0.1", "::2", "0.0.0.0"])
    def test_lookalikes_of_localhost(self, host: str) -> None:
        assert choose({"ALL_PROXY": PROXY}, host=host) == PROXY

    @given(st.sampled_from([4, 6]), st.data())
    def test_network_by_arithmetic(self, version: Literal[4, 6], data: st.DataObject) -> None:
        address, base = data.draw(st.ip_addresses(v=version)), data.draw(st.ip_addresses(v=version))
        length = data.draw(st.integers(0, address.max_prefixlen))
        shift = address.max_prefixlen - length
        assume(not address.is_loopback and not f"{address}{base}".startswith("::ffff:"))
        assert is_direct(f"{base}/{length}", str(address)) is (int(address) >> shift == int(base) >> shift)

    @given(
        st.lists(st.sampled_from("ab"), min_size=1, max_size=4), st.lists(st.sampled_from("ab"), min_size=1, max_size=4)
    )
    def test_domain_by_labels(self, listed: list[str], labels: list[str]) -> None:
        covered = labels[-len(listed) :] == listed
        assert is_direct(".".join(listed), ".".join(labels)) is covered
        assert is_direct("*." + ".".join(listed), ".".join(labels)) is (covered and len(labels) > len(listed))

    @given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
    def test_only_documented_errors(self, value: str, no_proxy: str, host: str) -> None:
        rules = ProxyRules.from_environment({"HTTP_PROXY": value, "NO_PROXY": no_proxy})
        with suppress(ProxyUrlError):
            rules.choose("http", host, 80)


class TestCaching:
    def test_each_origin_is_cached_separately(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(proxies, "_MOST_ORIGINS", 5)
        rules = ProxyRules.from_environment(
            {"HTTP_PROXY": PROXY, "HTTPS_PROXY": "http://other.test:1", "NO_PROXY": "b.test:80,10.0.0.0/8"}
        )
        origins = [
            (scheme, host, port)
            for scheme in ("http", "https")
            for host in ("a.test", "b.test", "10.1.2.3", "localhost")
            for port in (80, 81)
        ]
        expected = [ProxyRules.choose(attrs.evolve(rules), *origin) for origin in origins]
        for _ in range(3):
            assert [rules.choose(*origin) for origin in origins] == expected
        assert len(set(expected)) == 3
        assert len(rules._chosen) <= 5

    def test_origin_is_evaluated_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        checked = list[str]()
        is_direct = ProxyRules._is_direct

        def record(rules: ProxyRules, host: str, port: int) -> bool:
            checked.append(host)
            return is_direct(rules, host, port)

        monkeypatch.setattr(ProxyRules, "_is_direct", record)
        rules = ProxyRules.from_environment({"HTTP_PROXY": PROXY})
        for _ in range(10):
            rules.choose("http", "a.test", 80)
        assert checked == ["a.test"]

    def test_system_exceptions_are_read_each_time(self) -> None:
        excepted = set[str]()
        rules = ProxyRules.from_environment({"HTTP_PROXY": PROXY}, is_excepted=excepted.__contains__)
        assert rules.choose("http", "a.test", 80) is not None
        excepted.add("a.test")
        assert rules.choose("http", "a.test", 80) is None


class TestOneProxyForEverything:
    @pytest.mark.parametrize("host", ["example.com", "localhost", "127.0.0.1", "10.0.0.1"])
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_it_is_chosen_for_every_origin(self, scheme: str, host: str) -> None:
        proxy = ProxyRules.of_one("http://user:secret@proxy.test:3128").choose(scheme, host, 80)
        assert proxy is not None
        assert (str(proxy), proxy.authorization) == ("http://proxy.test:3128", "Basic dXNlcjpzZWNyZXQ=")

    def test_empty_value_means_none(self) -> None:
        assert ProxyRules.of_one("").choose("http", "example.com", 80) is None
        assert ProxyRules.of_one("").is_empty

    def test_invalid_proxy_is_refused_at_once(self) -> None:
        with pytest.raises(ProxyUrlError, match=r"^proxy is not the URL of a proxy") as caught:
            ProxyRules.of_one("http://user:sec ret@proxy.test")
        assert "sec" not in str(caught.value).replace("socks", "")
