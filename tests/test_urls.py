from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbfiles_async._urls import (
    is_fetchable,
    is_https,
    is_signed,
    origin,
    resolve_location,
    scheme_of,
    scrub,
    target_of,
    without_secrets,
)
from wbfiles_async.errors import ConfigurationError

KEY = "0123456789abcdef0123456789abcdef01234567"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
URLISH = st.text(alphabet="htps:/@?#[]%.\\ab1 =&", max_size=40).map("https://".__add__) | st.text()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.wandb.ai", "https://api.wandb.ai:443"),
        ("HTTPS://API.wandb.AI:443/x?y#z", "https://api.wandb.ai:443"),
        ("http://localhost", "http://localhost:80"),
        ("http://user:pw@localhost:8080/", "http://localhost:8080"),
        ("http://[0:0::1]:9/", "http://[::1]:9"),
    ],
)
def test_origin_has_one_spelling(url: str, expected: str) -> None:
    assert origin(url) == expected


NOT_FETCHABLE = [
    "",
    "garbage",
    "s3://bkt/key",
    "file:///etc/passwd",
    "ftp://host/x",
    "//host/x",
    "https://",
    "https:///x",
    "https://host:99999/",
    "https://host:x/",
    "https://[::1/",
    "https://[v1.a:b]/",
    "https://[fe80::1%25eth0]/",
    "https://api.wandb.ai\\@evil.com/",
    "https://ho st/",
    "https://exa%6dple.com/",
]


@pytest.mark.parametrize("url", NOT_FETCHABLE)
def test_url_without_a_clear_host_is_not_requested(url: str) -> None:
    assert not is_fetchable(url)
    with pytest.raises(ConfigurationError):
        origin(url)


def test_path_that_could_split_a_request_is_not_requested() -> None:
    assert not is_fetchable("https://host/\r\nX: y")
    assert origin("https://host/\r\nX: y") == "https://host:443"


@pytest.mark.parametrize("url", ["https://h/x", "http://127.0.0.1:1/", "https://[::1]/", "https://bücher.example/"])
def test_http_urls_with_a_host_are_requested(url: str) -> None:
    assert is_fetchable(url)


@pytest.mark.fault(62)
@pytest.mark.parametrize("url", [None, "https://user:pw@host/x", "https://user@host/x"])
def test_urls_with_credentials_are_not_requested(url: str | None) -> None:
    assert not is_fetchable(url)


@given(URLISH)
def test_any_url_is_classified(url: str) -> None:
    is_signed(url)
    shown = without_secrets(url)
    assert "?" not in shown
    assert "#" not in shown
    if is_fetchable(url):
        assert origin(origin(url)) == origin(url)
        assert origin(shown) == origin(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://h/x?X-Amz-Signature=0",
        "https://h/x?a=1&x-amz-security-token=0",
        "https://h/x?X-Goog-Signature=0",
        "https://h/x?Expires=1&Signature=0&AWSAccessKeyId=1",
        "https://h/x?sv=1&SIG=0",
        "https://h/x?%58-Amz-Signature=0",
        "https://h/x?a=1;sig=0",
        "https://h/x?sig",
    ],
)
def test_signature_in_the_query_is_recognised(url: str) -> None:
    assert is_signed(url)


@pytest.mark.parametrize(
    "url",
    ["https://h/x", "https://h/sig=0", "https://h/x?design=0", "https://h/x?a=sig", "https://h/x#?sig=0", ""],
)
def test_url_without_a_signature_in_the_query_is_unsigned(url: str) -> None:
    assert not is_signed(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h:1/a/b?sig=0#f", "https://h:1/a/b"),
        ("https://u:p@h/a@b", "https://h/a@b"),
        ("https://u:p@[::1]:80/a", "https://[::1]:80/a"),
        ("https://u:pa/ss@h/x", "https://***"),
        ("https://u:p?w@h/x", "https://***"),
        ("s3://bkt/key?versionId=1", "s3://bkt/key"),
        ("//u:p@h/x", "//h/x"),
        ("u:p@h/x?y", "h/x"),
        ("e/p/r", "e/p/r"),
        ("", ""),
        ("u:p://x@h:1", "***://h:1"),
        ("u:p/q@h:1", "h:1"),
        ("https://h/http://u:p@i", "https://h/http://i"),
        ("https://u:p@h/a//b:c", "https://h/a//b:c"),
        ("https://h/a//b:c:d", "https://h/a//b:c:d"),
    ],
)
def test_url_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert without_secrets(url) == expected


@pytest.mark.fault(110)
@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY} is wrong",
        f"key local-{KEY} is wrong",
        f"at https://h/x?X-Amz-Signature={KEY}&y=1.",
        "GET /x?X-Amz-Signature=S3CRET&X-Amz-Credential=S3CRET failed",
        "GET /x?a=1\\u0026sig=S3CRET",
        "https://me:S3CRET@h/x",
        "xxxxxxxxxxxxxxxxxxxxxhttps://me:S3CRET@h/x",
        "Authorization: S3CRET",
        "authorization=Basic S3CRET",
        '{"Authorization": "Bearer S3CRET"}',
        "Authorization: AWS4-HMAC-SHA256 Credential=S3CRET, Signature=S3CRET",
        "sent Bearer S3CRET0123456789abc",
        f"token {JWT} expired",
        '{"api_key": "S3CRET"}',
        "x-amz-security-token: S3CRET",
        "password=S3CRET",
        # Proxies, with any scheme or none, and passwords that are not encoded.
        "HTTPS_PROXY=http://me:S3CRET@proxy:3128",
        "socks5h://me:S3CRET@proxy:1080 refused",
        "x://me:S3CRET@proxy",
        "a-scheme-of-more-letters-than-usual://me:S3CRET@proxy",
        "//me:S3CRET@proxy",
        "me:S3CRET@proxy:3128 refused",
        "CONNECT me:S3C/S3CRET@proxy:3128",
        "me:S3CRET://x@proxy:3128",
        "http://me:S3CRET/x@proxy:3128",
        "http://a:b@c,http://me:S3CRET@proxy",
        "https://h/http://me:S3CRET@proxy",
        "Proxy-Authorization: Basic S3CRET",
        f"x_{JWT}",
        f"x.{JWT}.x",
    ],
)
def test_secrets_are_removed_from_a_text(text: str) -> None:
    shown = scrub(text)
    assert "S3CRET" not in shown
    assert KEY not in shown
    assert JWT not in shown


@pytest.mark.parametrize(
    "text",
    [
        "permission denied to read e/p/runs/r",
        "Basic authentication required",
        "Make sure the value of Authorization header is formed correctly including the signature.",
        "the file media/table/x.table.json does not exist at https://api.wandb.ai/graphql",
        "md5 d41d8cd98f00b204e9800998ecf8427e",
        "12:30: ask admin@example.com",
        "see https://h/a@b and //h/a:b",
        "version 1.2.3 of wbfiles_async._urls",
    ],
)
def test_text_without_secrets_stays(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.fault(110)
@given(st.text(), st.text(), st.from_regex(r"[A-Za-z0-9_-]{40,80}", fullmatch=True))
def test_key_never_stays_in_a_text(before: str, after: str, key: str) -> None:
    assert key not in scrub(f"{before} {key} {after}")


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "eyJ",
            "_eyJ",
            "eyJ.",
            "eyJ.x",
            ".",
            "-",
            "a",
            "a:",
            "a@",
            ":@",
            "a:b@",
            "//",
            "://",
            "a://",
            "http://a:b@c/",
        ),
        *("x-amz-", "sig=", "authorization", "authorization:", "bearer ", "api_key", 'password"', "%3d", "'", "(a.b-"),
        *("?", "#", "\\", "[", "[::1]:"),
    ],
)
def test_long_text_takes_time_in_proportion(piece: str) -> None:
    """Quadratic time would exceed the suite's time limit: minutes and more."""
    text = piece * ((1 << 18) // len(piece))
    scrub(text)
    without_secrets(text)


@given(st.text(alphabet='htps:/?=&sig.@ "Bearertoken0_-', max_size=200) | st.text())
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/a/b?x=1&y=%2F", ("https://h", "/a/b?x=1&y=%2F")),
        ("http://h:80", ("http://h:80", "/")),
        ("http://h?x=/", ("http://h", "/?x=/")),
        ("http://h/a#b", ("http://h", "/a")),
        ("http://h/a?b#c", ("http://h", "/a?b")),
        ("http://h#c", ("http://h", "/")),
        ("http://[::1]:8/a//b", ("http://[::1]:8", "/a//b")),
    ],
)
def test_url_is_split_before_the_request_target(url: str, expected: tuple[str, str]) -> None:
    assert target_of(url) == expected


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        *(
            ("http://h", "http"),
            ("HTTPS://h", "https"),
            ("Https:", "https"),
            ("s3://b/k", "s3"),
            ("a+b-c.1:x", "a+b-c.1"),
        ),
        *(("", ""), ("//h", ""), ("/a:b", ""), ("1a:b", ""), (" https://h", ""), ("https", ""), ("h\u0442tps://h", "")),
    ],
)
def test_scheme(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme
    assert is_https(url) is (scheme == "https")


BASE = "https://store.test:1/b/c/d;p?q"
RELATIVE = [
    # Source: RFC 3986 sections 5.4.1 and 5.4.2.
    ("g", "/b/c/g"),
    ("./g", "/b/c/g"),
    ("g/", "/b/c/g/"),
    ("/g", "/g"),
    ("?y", "/b/c/d;p?y"),
    ("g?y", "/b/c/g?y"),
    ("g#s", "/b/c/g#s"),
    (";x", "/b/c/;x"),
    ("g;x?y#s", "/b/c/g;x?y#s"),
    ("", "/b/c/d;p?q"),
    ("#s", "/b/c/d;p?q"),
    (".", "/b/c/"),
    ("./", "/b/c/"),
    ("..", "/b/"),
    ("../", "/b/"),
    ("../g", "/b/g"),
    ("../..", "/"),
    ("../../../../g", "/g"),
    ("g.", "/b/c/g."),
    ("..g", "/b/c/..g"),
    ("./g/.", "/b/c/g/"),
    ("g/../h", "/b/c/h"),
    ("g;x=1/../y", "/b/c/y"),
    ("g?y/../x", "/b/c/g?y/../x"),
    ("g#s/../x", "/b/c/g#s/../x"),
    # Nothing else is changed, since it may be signed.
    ("/a/../g", "/a/../g"),
    ("/a//b;/?&=;?", "/a//b;/?&=;?"),
    ("?", "/b/c/d;p?"),
    ("/%7e%zz%", "/%7e%zz%"),
    ("/a+b~!$&'()*,=:@|^`{}<>\"", "/a+b~!$&'()*,=:@|^`{}<>\""),
    # Characters that only lack their encoding.
    ("/my file.txt", "/my%20file.txt"),
    ("  /x\t", "/x"),
    ("/gr\u00f6\u00dfe?\u00e4=\u20ac", "/gr%C3%B6%C3%9Fe?%C3%A4=%E2%82%AC"),
    ("/a\\b", "/a%5Cb"),
    ("\\\\evil.test\\x", "/b/c/%5C%5Cevil.test%5Cx"),
    ("/\\evil.test", "/%5Cevil.test"),
    ("/\u00a0\u3000\U0001f600", "/%C2%A0%E3%80%80%F0%9F%98%80"),
]


@pytest.mark.parametrize(("location", "target"), RELATIVE)
def test_relative_redirect(location: str, target: str) -> None:
    resolved = resolve_location(BASE, location)
    assert resolved == f"https://store.test:1{target}"
    assert is_fetchable(resolved)
    assert resolve_location(BASE, location.encode()) == resolved
    # As libraries decode headers that are not ASCII.
    assert resolve_location(BASE, location.encode().decode("latin-1")) == resolved


@pytest.mark.parametrize(
    ("location", "resolved"),
    [
        ("http://h", "http://h"),
        ("HTTPS://H:443/a/../b//c?d=%2f&sig=a+b/c=#e", "HTTPS://H:443/a/../b//c?d=%2f&sig=a+b/c=#e"),
        ("http://h/my file", "http://h/my%20file"),
        ("http://h?a b", "http://h?a%20b"),
        ("//h/x", "https://h/x"),
        ("//h", "https://h"),
        ("http://b\u00fccher.example/\u00fc", "http://b\u00fccher.example/%C3%BC"),
        ("https://[::1]:8/\u00fc", "https://[::1]:8/%C3%BC"),
    ],
)
def test_absolute_redirect(location: str, resolved: str) -> None:
    assert resolve_location(BASE, location) == resolved
    assert is_fetchable(resolved)
    assert resolve_location(BASE, location.encode()) == resolved
    assert resolve_location(BASE, location.encode().decode("latin-1")) == resolved


def test_redirect_in_another_encoding() -> None:
    assert resolve_location(BASE, b"/gr\xf6\xdfe") == "https://store.test:1/gr%F6%DFe"


@pytest.mark.parametrize(
    "location",
    [
        *("http://ho st/", "http://host\\@evil.test/", "https:\\\\evil.test/", "https:/x", "https:x", "s3://b/k"),
        *("http://u:p@h/", "http://h/\n", "/a\r\nX: y", "/\x00", "/\x7f", "a:b", "http://\u00a0/", "//", "http://h:x/"),
    ],
)
def test_redirect_that_cannot_be_followed(location: str) -> None:
    assert not is_fetchable(resolve_location(BASE, location))


@given(
    st.from_regex(r"https?://[a-z]{1,5}(:[0-9]{1,3})?/[!-\[\]-~]{0,40}", fullmatch=True),
    st.text(alphabet="a/.?#; ", max_size=9),
)
def test_redirect_keeps_every_byte_of_a_url(url: str, relative: str) -> None:
    assert resolve_location(BASE, url) == url
    assert resolve_location(BASE, url.encode()) == url
    # A target that begins with "//" names a host.
    assert is_fetchable(resolve_location(url, relative)) or relative.strip().startswith("//")


@given(URLISH, URLISH | st.text(st.characters()))
def test_any_redirect_is_resolved_or_refused(url: str, location: str) -> None:
    resolved = resolve_location(url, location)
    if is_fetchable(resolved):
        assert resolve_location(url, resolved) == resolved
