"""A store's responses in a program by name, as functions of a random generator and the scene."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable

import attrs
from scripted_server import Answer, Program, ScriptedServer, Seen, Step, Stored, base64_md5, redirect, refusal

from wbfiles_async import TransferOptions


@attrs.define
class Scene:
    """One file's surroundings during a program.

    Attributes:
        server: Where it is.
        name: Its name in the run.
        size_known: Whether the listing states its length.
        options: How the client behaves.
        data: The current object.
        tag: Its entity tag.
        supports_if_match: Whether the store does.
        listed: Every content that the listing has stated.
        contents: Every content it ever had.
        lied: Whether a response was wrong in a way that only the md5 shows.
    """

    server: ScriptedServer
    name: str
    size_known: bool
    options: TransferOptions
    data: bytes
    tag: str | None = '"v1"'
    supports_if_match: bool = True
    listed: set[bytes] = attrs.field(init=False)
    contents: set[bytes] = attrs.field(init=False)
    lied: bool = False

    def __attrs_post_init__(self) -> None:
        self.listed, self.contents = {self.data}, {self.data}

    def good(self, seen: Seen) -> Answer:
        """Answer like a good store, with the current object."""
        kept = {name: value for name, value in seen.headers.items() if self.supports_if_match or name != "if-match"}
        return Stored(self.data, self.tag)(attrs.evolve(seen, headers=kept))

    def changed(self, change: Callable[[Answer], Answer], *, lie: bool = False) -> Program:
        """Return a program that answers like a good store, with a change."""

        def answer(seen: Seen) -> Answer:
            self.lied |= lie
            return change(self.good(seen))

        return answer


Make = Callable[[random.Random, Scene], Step]

STORE: dict[str, Make] = {}
"""The repertoire."""


def _store(make: Make) -> Make:
    STORE[make.__name__] = make
    return make


# Truncated bodies


def _cut_at(chance: random.Random) -> Callable[[Answer], int]:
    share = chance.choice([0.0, chance.random(), chance.random(), 0.999])
    return lambda answer: int(len(answer.body) * share)


@_store
def cut(chance: random.Random, scene: Scene) -> Step:
    at = _cut_at(chance)
    framing = chance.choice(["length", "chunked", "none"])
    # Without a stated length only the listed one is known, and a body without a length has no visible end.
    lie = framing == "none" and not scene.size_known
    return scene.changed(lambda answer: answer.but(cut=at(answer), end="close", framing=framing), lie=lie)


@_store
def reset(chance: random.Random, scene: Scene) -> Step:
    at = _cut_at(chance)
    return scene.changed(lambda answer: answer.but(cut=at(answer), end="reset"))


@_store
def stall(chance: random.Random, scene: Scene) -> Step:
    at = _cut_at(chance)
    return scene.changed(lambda answer: answer.but(cut=at(answer), end="stall"))


@_store
def trickle(chance: random.Random, scene: Scene) -> Step:
    return scene.changed(lambda answer: answer.but(piece=1, pause=scene.options.stall_seconds / 4))


@_store
def slow(chance: random.Random, scene: Scene) -> Step:
    return scene.changed(lambda answer: answer.but(piece=max(1, len(answer.body) // 5), pause=0.002))


@_store
def silence(chance: random.Random, scene: Scene) -> Step:
    return Answer(gate=asyncio.Event())


@_store
def closed_without_an_answer(chance: random.Random, scene: Scene) -> Step:
    return Answer(head=b"", end=chance.choice(["close", "reset"]))


# Wrong bodies


@_store
def flipped_bit(chance: random.Random, scene: Scene) -> Step:
    share = chance.random()

    def flip(answer: Answer) -> Answer:
        at = int(len(answer.body) * share)
        return answer.but(
            body=answer.body[:at] + bytes(b ^ 4 for b in answer.body[at : at + 1]) + answer.body[at + 1 :]
        )

    return scene.changed(flip, lie=True)


@_store
def short(chance: random.Random, scene: Scene) -> Step:
    missing, framing = chance.randint(1, 20), chance.choice(["length", "chunked", "none"])
    return scene.changed(
        lambda answer: answer.but(body=answer.body[:-missing], framing=framing), lie=not scene.size_known
    )


@_store
def long(chance: random.Random, scene: Scene) -> Step:
    # If the length is unknown, an endless body is legitimate.
    endless = scene.size_known and chance.random() < 0.5
    framing = chance.choice(["chunked", "none"])
    return scene.changed(
        lambda answer: answer.but(body=answer.body + b"more", framing=framing, endless=endless),
        lie=not scene.size_known,
    )


@_store
def longer_than_announced(chance: random.Random, scene: Scene) -> Step:
    return scene.changed(lambda answer: answer.but(body=answer.body + b"more", length=len(answer.body)))


@_store
def compressed(chance: random.Random, scene: Scene) -> Step:
    broken = chance.random() < 0.5

    def compress(answer: Answer) -> Answer:
        body = gzip.compress(answer.body, 1)
        headers = dict(answer.headers) | {"Content-Encoding": "gzip"}
        return answer.but(body=body[:-9] if broken else body, headers=headers)

    return scene.changed(compress)


# Ranges


@_store
def whole_for_a_range(chance: random.Random, scene: Scene) -> Step:
    def answer(seen: Seen) -> Answer:
        return scene.good(attrs.evolve(seen, headers={}))

    return answer


@_store
def misplaced(chance: random.Random, scene: Scene) -> Step:
    size = len(scene.data)
    place = chance.choice(
        [
            None,
            f"bytes 5-6/{size}",
            "bytes 0--1/0",
            "*",
            f"bytes */{size}",
            "bytes 0-1/99999999999999999999",
            "lines 0-1/2",
        ]
    )

    def answer(seen: Seen) -> Answer:
        good = scene.good(seen)
        if good.status != 206:
            return good
        headers = {name: value for name, value in good.headers.items() if name != "Content-Range"}
        return good.but(headers=headers if place is None else headers | {"Content-Range": place})

    return answer


@_store
def multipart(chance: random.Random, scene: Scene) -> Step:
    headers = {"Content-Type": "multipart/byteranges; boundary=x"}
    return lambda seen: scene.good(seen) if seen.range is None else Answer(status=206, headers=headers, body=b"--x--")


@_store
def shorter_than_requested(chance: random.Random, scene: Scene) -> Step:
    share = chance.uniform(0.1, 0.9)

    def answer(seen: Seen) -> Answer:
        if seen.range is None:
            return scene.good(seen)
        start, stop = seen.range[0], seen.range[1] or len(scene.data)
        last = start + int((stop - start) * share)
        return scene.good(attrs.evolve(seen, headers=dict(seen.headers) | {"range": f"bytes={start}-{last}"}))

    return answer


# Objects that change


@_store
def replaced(chance: random.Random, scene: Scene) -> Step:
    """Replaces the object by another one of the same length; with a new tag or not, listed or not."""
    tag = chance.choice(['"new"', 'W/"weak"', None])
    listed, supports = chance.random() < 0.7, chance.random() < 0.5
    cut_at = _cut_at(chance)

    def answer(seen: Seen) -> Answer:
        old = scene.good(seen)
        scene.data, scene.tag, scene.supports_if_match = scene.data[::-1], tag, supports
        scene.contents.add(scene.data)
        scene.lied |= tag != '"new"'  # bytes of both can be mixed, and only the md5 shows it
        if listed:
            scene.listed.add(scene.data)
            node = scene.server.files[scene.name]
            node |= {"updatedAt": "2026-01-02T00:00:00"} | ({"md5": base64_md5(scene.data)} if node["md5"] else {})
        return old.but(cut=cut_at(old), end="close")

    return answer


@_store
def another_tag(chance: random.Random, scene: Scene) -> Step:
    return scene.changed(lambda answer: answer.but(headers=dict(answer.headers) | {"ETag": f'"{chance.random()}"'}))


# Refusals

_EXPIRED = [
    (403, "AccessDenied", "Request has expired"),
    (400, "ExpiredToken", "The provided token has expired."),
    (403, "AuthenticationFailed", "Signature not valid in the specified time frame"),
]


@_store
def expired(chance: random.Random, scene: Scene) -> Step:
    return refusal(*chance.choice(_EXPIRED))


@_store
def expired_until_renewed(chance: random.Random, scene: Scene) -> Step:
    first, known = refusal(*chance.choice(_EXPIRED)), ""

    def answer(seen: Seen) -> Answer:
        nonlocal known
        known = known or seen.target
        return first if seen.target == known else scene.good(seen)

    return answer


@_store
def refused(chance: random.Random, scene: Scene) -> Step:
    status = chance.choice([400, 401, 403, 404, 405, 410, 412, 416, 451, 501, 505])
    return refusal(status, "SomeReason", "x" * chance.choice([3, 30_000]))


@_store
def failing(chance: random.Random, scene: Scene) -> Step:
    return refusal(chance.choice([408, 425, 500, 502, 504, 522, 524]), "InternalError")


@_store
def throttled(chance: random.Random, scene: Scene) -> Step:
    headers = {"Retry-After": chance.choice(["0", "-1", "soon", "", "0.001", "Sun, 06 Nov 1994 08:49:37 GMT"])}
    return refusal(chance.choice([429, 503]), "SlowDown").but(headers=headers)


@_store
def deleted_for_a_moment(chance: random.Random, scene: Scene) -> Step:
    return refusal(404, "NoSuchKey")


@_store
def no_body(chance: random.Random, scene: Scene) -> Step:
    return Answer(head=f"HTTP/1.1 {chance.choice([204, 205, 304])} None\r\n\r\n".encode(), end="close")


@_store
def refusal_that_breaks_off(chance: random.Random, scene: Scene) -> Step:
    return refusal(chance.choice([403, 500, 503]), "x" * 2000).but(
        cut=100, end=chance.choice(["close", "reset", "stall"])
    )


# Redirects


@_store
def redirected(chance: random.Random, scene: Scene) -> Step:
    path = f"/store/elsewhere/{chance.random()}"
    scene.server.on(path, scene.good)
    body = b"x" * chance.choice([0, 100_000])
    return redirect(scene.server.url(path), chance.choice([301, 302, 303, 307, 308])).but(body=body)


@_store
def redirected_in_circles(chance: random.Random, scene: Scene) -> Step:
    path = f"/store/circle/{chance.random()}"
    scene.server.on(path, redirect(scene.server.url(path)))
    return redirect(scene.server.url(path))


@_store
def redirected_to_nowhere(chance: random.Random, scene: Scene) -> Step:
    targets = ["", "file:///etc/passwd", "http://169.254.169.254/", "http://[::1", "//", "http://127.0.0.1:1/x"]
    return redirect(chance.choice(targets))


# Invalid HTTP


@_store
def garbage(chance: random.Random, scene: Scene) -> Step:
    heads = [
        b"220 smtp.example.com ESMTP\r\n\r\n",
        b"HTTP/1.1 OK 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000,
        chance.randbytes(300),
    ]
    return Answer(head=chance.choice(heads), body=b"data", end="close")


@_store
def early_hints(chance: random.Random, scene: Scene) -> Step:
    def answer(seen: Seen) -> Answer:
        good = scene.good(seen)
        lines = [f"{name}: {value}" for name, value in good.headers.items()]
        head = "\r\n".join(
            [
                "HTTP/1.1 103 Early Hints",
                "",
                f"HTTP/1.1 {good.status} OK",
                f"Content-Length: {len(good.body)}",
                *lines,
                "",
                "",
            ]
        )
        return good.but(head=head.encode())

    return answer
