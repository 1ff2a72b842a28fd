"""Validates URLs, and removes secrets from them.

Performs no I/O. Every function is safe with garbage: an unusable URL is refused or shown without its secret parts,
and only documented exceptions are raised.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urlsplit

from wbfiles_async._errors import ConfigurationError

__all__ = [
    "SecretUrl",
    "host_of",
    "is_fetchable",
    "is_https",
    "is_signed",
    "origin",
    "resolve_location",
    "scheme_of",
    "scrub",
    "target_of",
    "without_secrets",
]

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Clients disagree about such characters (some strip them, some treat "\" as "/"), so the host that is checked might
# not be the host that is connected to.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
# International names too; no "%", which some clients decode.
_HOST_NAME = re.compile(r"[\w.-]+")
# A fast check that nearly all URLs of stores pass, since it runs once per file.
_PLAIN = re.compile(r"https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?/[!-\[\]-~]*")
_BEFORE_PATH = re.compile(r"[^/?#]*(?://[^/?#]*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCHEME_NAME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PATH_END = re.compile(r"[?#]")
# Characters that servers write into URLs although they are invalid.
_UNENCODED = re.compile(r"[ \\\x80-\U0010ffff]+")

# With any of these in its query, the URL itself is the credential.
# Source: AWS Signature Versions 2 and 4, GCS signed URLs V2 and V4, Azure SAS, CloudFront, OSS and COS.
_SIGNATURE_NAMES = frozenset(
    {
        "awsaccesskeyid",
        "googleaccessid",
        "key-pair-id",
        "ossaccesskeyid",
        "q-signature",
        "sig",
        "signature",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-algorithm",
        "x-goog-credential",
        "x-goog-signature",
        "x-oss-signature",
    }
)


def _split(url: str) -> SplitResult | None:
    """Split an http or https URL with an unambiguous host; ``None`` for anything else."""
    if _AMBIGUOUS.search(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # validated only on access
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not _is_host(parts.hostname or ""):
        return None
    return parts


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        return ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False


class SecretUrl(str):
    """A URL that may be a credential: its ``repr``, which tools show of frames' variables, leaves out the query."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(without_secrets(self))


def origin(url: str) -> str:
    """Return ``scheme://host:port`` of a URL, such that equal strings mean the same origin.

    The port is always included, the host in lower case, an IPv6 address in its shortest form.

    Raises:
        ConfigurationError: It is not an http or https URL with a host.

    Source:
        RFC 6454 section 4.
    """
    return _origin_of(_before_path(url))


def _before_path(url: str) -> str:
    found = _BEFORE_PATH.match(url)
    return found[0] if found else ""  # matches anything


def target_of(url: str) -> tuple[str, str]:
    """Split an http or https URL into ``scheme://host:port``, unchanged, and the request target."""
    before = _before_path(url)
    target = url[len(before) :].partition("#")[0]
    return before, target if target.startswith("/") else f"/{target}"


def scheme_of(url: str) -> str:
    """Return the URL's scheme in lower case; empty if it has none.

    Source:
        RFC 3986 section 3.1.
    """
    match = _SCHEME_NAME.match(url)
    return match[1].lower() if match else ""


def is_https(url: str) -> bool:
    """Return whether the URL's scheme is https, in any case of letters."""
    return scheme_of(url) == "https"


def resolve_location(url: str, location: str | bytes) -> str:
    """Return the target URL of a redirect.

    Blanks, backslashes and non-ASCII characters are percent-encoded in path and query, as in curl and browsers;
    everything else is unchanged, since it may be signed. `is_fetchable` checks whether the result can be requested.

    Args:
        url: The URL that was requested.
        location: The value of ``Location``, absolute or relative. Bytes are exact; a text counts as UTF-8 that was
            decoded as UTF-8 or as ISO 8859-1, since HTTP libraries do both.

    Source:
        RFC 9110 section 10.2.2; RFC 3986 section 5.2.
    """
    text = _decoded(location).strip(" \t")
    before, target = target_of(url)
    if _SCHEME_NAME.match(text):
        return _encoded(text)
    if text.startswith("//"):
        return _encoded(f"{scheme_of(url)}:{text}")
    path, _, _ = target.partition("?")
    if text.startswith("/"):
        target = text
    elif text.startswith("?"):
        target = path + text
    elif text and not text.startswith("#"):
        target = _without_dots(path.rpartition("/")[0] + "/" + text)
    return _encoded(before + target)


def _decoded(location: str | bytes) -> str:
    if isinstance(location, bytes):
        return location.decode(errors="surrogateescape")
    try:
        return location.encode("latin-1").decode()
    except UnicodeError:
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", location)


def _encoded(url: str) -> str:
    """Percent-encode invalid characters in path and query; the host is unchanged."""
    before = _before_path(url)
    rest = url[len(before) :]
    return before + _UNENCODED.sub(lambda match: quote(match[0], safe="", errors="surrogateescape"), rest)


def _without_dots(target: str) -> str:
    """Resolve ``.`` and ``..`` in a relative reference's path (RFC 3986 section 5.2.4)."""
    end = _PATH_END.search(target)
    path, rest = (target[: end.start()], target[end.start() :]) if end else (target, "")
    kept: list[str] = []
    names = path.split("/")[1:]
    for name in names:
        if name == "..":
            del kept[-1:]
        elif name != ".":
            kept.append(name)
    folder = "/" if names[-1] in (".", "..") and kept else ""
    return "/" + "/".join(kept) + folder + rest


# Thousands of URLs differ only in their paths.
@lru_cache(maxsize=256)
def _origin_of(url: str) -> str:
    parts = _split(url)
    if parts is None:
        raise ConfigurationError(f"{without_secrets(url)!r} is not an http or https URL with a host")
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{ipaddress.IPv6Address(host).compressed}]"
    port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}:{port}"


def host_of(url: str) -> str:
    """Return a URL's host, for messages; empty if it has none."""
    return _host_of(_before_path(url))


@lru_cache(maxsize=256)
def _host_of(url: str) -> str:
    parts = _split(url)
    return (parts.hostname or "") if parts else ""


def without_secrets(url: str) -> str:
    """Return the URL without query, fragment and user information, for messages and logs."""
    bare = _CONTROL.sub("", re.split(r"[?#]", url, maxsplit=1)[0])
    return _without_logins(bare)


_BEFORE_AUTHORITY = re.compile(r"(?:(?<=:)|\A)//")
_SLASH = re.compile(r"[/\\]")
_HOST_AND_PORT = re.compile(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?")


def _without_logins(url: str) -> str:
    """Return the URL without user information, also without that of URLs in its path (those of proxies have some)."""
    head, *segments = _BEFORE_AUTHORITY.split(url)
    if not segments:
        before = url.rpartition("@")[0]
        authority = _SLASH.split(url, maxsplit=1)[0]
        user = before if ":" in before else authority.rpartition("@")[0]
        return url[len(user) + 1 :] if user else url
    has_user = "@" in url
    if has_user and head.count(":") > 1:
        head = "***:"  # the password of `user:password://` is no scheme
    shown = []
    for place, segment in enumerate(segments):
        authority = _SLASH.split(segment, maxsplit=1)[0]
        host = authority.rpartition("@")[2]
        if (has_user or place == 0) and not _HOST_AND_PORT.fullmatch(host):
            # An invalid port may be the first half of a password with a "/" in it.
            shown.append("***")
            break
        shown.append(host + segment[len(authority) :])
    return "//".join([head, *shown])


def is_signed(url: str) -> bool:
    """Return whether the URL's query has a signature, so that no other credentials may be sent."""
    query = url.partition("#")[0].partition("?")[2]
    names = (field.partition("=")[0] for field in re.split(r"[&;]", query))
    return any(unquote(name).strip().lower() in _SIGNATURE_NAMES for name in names)


def is_fetchable(url: str | None) -> bool:
    """Return whether the URL can be requested: http or https, with a host, and without user information.

    User information is refused because clients turn it into an ``Authorization`` header.
    """
    if not url or _PLAIN.fullmatch(url):
        return bool(url)
    parts = _split(url)
    return parts is not None and "@" not in parts.netloc


# Each of these takes linear time on any text: no part that may be long can be matched again from a later character.
_WORD = re.compile(r"[^\s\"'<>]+")
_AUTHORIZATION = re.compile(
    r"(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"(?:(?:basic|bearer|digest|negotiate|token|aws4-hmac-sha256)\s{1,3})?[^\s\"'<>]+",
    re.IGNORECASE,
)
# 16 characters: "Basic authentication required" is no credential.
_SCHEME = re.compile(r"\b(basic|bearer)\s{1,3}[a-z0-9._~+/=-]{16,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"((?:x-(?:amz|goog|ms|oss)-[a-z-]{1,40}|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id"
    r"|credential|policy|(?<![a-z])sig|signature|token|api[_-]?key|password|secret)"
    r"(?:%3d|[\"']?\s{0,3}[:=]\s{0,3}[\"']?))[^\s&\"'<>]+",
    re.IGNORECASE,
)
_DOTTED = re.compile(r"[A-Za-z0-9_.-]+")
# W&B's keys: `[prefix-]secret` of word characters, 40 or more of them.
_KEY = re.compile(r"[A-Za-z0-9_-]{40,}")


def scrub(text: str) -> str:
    """Remove everything that could be a secret from a foreign text.

    Queries and user information of URLs go, whatever their scheme, and also ``user:password@`` without one; whatever
    looks like a signature, an ``Authorization`` value, a JWT or an API key becomes ``***``. In doubt it removes too
    much. It takes linear time.
    """
    text = _WORD.sub(_scrubbed_url, text)
    text = _AUTHORIZATION.sub(r"\1***", text)
    text = _SCHEME.sub(r"\1 ***", text)
    text = _ASSIGNED.sub(r"\1***", text)
    text = _DOTTED.sub(_scrubbed_jwt, text)
    return _KEY.sub("***", text)


def _scrubbed_url(word: re.Match[str]) -> str:
    """Return a word without the secrets of the URLs in it, with or without scheme."""
    text = word[0]
    authority = _BEFORE_AUTHORITY.search(text)
    if authority is not None:
        return _without_logins(text[: authority.end()] + re.split(r"[?#]", text[authority.end() :], maxsplit=1)[0])
    return _without_logins(text) if ":" in text.rpartition("@")[0] else text


def _scrubbed_jwt(word: re.Match[str]) -> str:
    """Return a word up to a JWT, which is three base64 parts separated by dots, the first of them JSON."""
    start = word[0].find("eyJ")
    return word[0] if start < 0 or word[0].count(".", start) < 2 else f"{word[0][:start]}***"
