"""The options of transfers and the sizes of pages, with all defaults. Performs no I/O."""

from __future__ import annotations

import math
from typing import Final, Literal, TypedDict

import attrs

from wbfiles_async._errors import ConfigurationError

__all__ = [
    "ADAPTIVE",
    "LAYOUT",
    "PER_PAGE",
    "RUNS_PER_PAGE",
    "SMALLEST_PART",
    "OptionChanges",
    "TransferOptions",
    "changed",
    "is_seconds",
]

ADAPTIVE: Final = "adaptive"

SMALLEST_PART = 64 << 10
"""Minimum bytes of a part: with fewer, heads and latency of the requests dominate."""


def _count(options: object, field: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"TransferOptions.{field.name} must be a whole number of at least 1, not {value!r}.")


def _count_or_adaptive(options: object, field: attrs.Attribute[int | Literal["adaptive"]], value: object) -> None:
    if value != ADAPTIVE and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(
            f"TransferOptions.{field.name} must be a whole number of at least 1, or {ADAPTIVE!r}, not {value!r}."
        )


def _part_size(options: object, field: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < SMALLEST_PART:
        raise ConfigurationError(
            f"TransferOptions.{field.name} must be a whole number of bytes, {SMALLEST_PART} (64 KiB) or more, not "
            f"{value!r}: each part costs a request."
        )


def _optional_count(options: object, field: attrs.Attribute[int | None], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(
            f"TransferOptions.{field.name} must be a whole number of at least 1, or None, not {value!r}."
        )


def _optional_rate(options: object, field: attrs.Attribute[float | None], value: object) -> None:
    if value is not None and not is_seconds(value):
        raise ConfigurationError(f"TransferOptions.{field.name} must be a number above 0, or None, not {value!r}.")


def _seconds(options: object, field: attrs.Attribute[float], value: object) -> None:
    if not is_seconds(value):
        raise ConfigurationError(f"TransferOptions.{field.name} must be a number of seconds above 0, not {value!r}.")


def _switch(options: object, field: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"TransferOptions.{field.name} must be True or False, not {value!r}.")


def is_seconds(value: object) -> bool:
    """Return whether a value is a number above 0, such as one of seconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


@attrs.frozen(kw_only=True)
class TransferOptions:
    r"""How bytes are transferred. The defaults are meant to be right for nearly everyone.

    Attributes:
        connections: Maximum simultaneous requests to the stores, for files and parts together. Defaults to
            ``"adaptive"``: up to 128, at most a quarter of the files that the process may have open, and as many as
            increase the throughput. That is about eight for a near store, a hundred for one with a high latency, and
            fewer if the store asks for that.
        part_size: Bytes of a part of a large file, 64 KiB or more. Parts are larger if connections are fast or the
            latency is high. Defaults to 8 MiB: the overhead of a request is small, and a medium file is still split.
        verify: Whether to compare the md5 of each file with the server's. On by default: it takes one core at 600 to
            900 MB/s, more than most links deliver, and nothing else detects a flipped bit.
        resume: Whether to keep the bytes of an interrupted large file, and to resume from them, in another process
            too. Needs a strong ETag of the store and an md5 of the server, which is compared over the whole file. On by
            default: the partial file is hidden, and removed when it is of no use.
        durable: Whether to flush file and folder to the disk before the file counts as written. Off by default: each
            file would wait for the disk, and a file that was lost in a power cut can be downloaded again.
        remember: Whether to remember, in the file ``.wbfiles-state`` below the root of a bulk download, which files
            were verified, so that unchanged ones are not read again. On by default: reading a terabyte takes half an
            hour.
        connect_timeout: Seconds to connect. Defaults to 10: TCP can repeat its first packet three times.
        stall_seconds: Seconds in which a connection must deliver ``stall_bytes``. Defaults to 30: longer than a
            busy store pauses, short enough to detect a peer that vanished.
        stall_bytes: Bytes; a connection that delivers fewer in ``stall_seconds`` is abandoned. Defaults to 1024: a slow
            but healthy link, of 1 Mbit/s say, delivers far more.
        limit_rate: Maximum bytes per second that all connections of a client together receive and send, on average,
            with bursts of a quarter of a second. Defaults to ``None``, no limit: only you know how much of a
            shared link others need.
        api_requests: Maximum requests per second to the API, on average. Defaults to ``None``: only the server's own
            limits apply, which are always respected. For many processes of one account, whose requests a server counts
            together.
        attempts: Attempts per file in a row without progress. Defaults to 10: with doubling back-off that is most of a
            minute, so a link that is down for half of one is survived.
        time_budget: Seconds that one file, or one call of the API, may fail without progress. Defaults to 300: that
            survives a restart of a server, and reports one that stays down.
        private_stores: Whether to download from stores at private addresses (of your network or this machine) if the
            configured server has a public one. Off by default: the URLs of a listing could otherwise reach into
            your network. Needed for a bucket behind a private endpoint. If the server has a private address itself,
            its stores may have one anyway.
        insecure_stores: Whether to download files over plain http although the API uses https. Off by default: signed
            URLs and files could be read and changed in transit.
        portable_names: Whether to refuse names that only another system cannot hold: with one of
            ``\ : * ? " < > |``, with a dot or space at the end of a folder or file, and devices of Windows (``con``,
            ``nul.txt``). Off by default: such names are common in runs. For folders that will be moved to Windows.

    Examples:
        ```python
        from wbfiles_async import Api, TransferOptions

        api = Api(options=TransferOptions(connections=8, limit_rate=10_000_000))
        unchecked = api.with_options(verify=False)
        ```
    """

    connections: int | Literal["adaptive"] = attrs.field(default=ADAPTIVE, validator=_count_or_adaptive)
    part_size: int = attrs.field(default=8 * 1024 * 1024, validator=_part_size)
    verify: bool = attrs.field(default=True, validator=_switch)
    resume: bool = attrs.field(default=True, validator=_switch)
    durable: bool = attrs.field(default=False, validator=_switch)
    remember: bool = attrs.field(default=True, validator=_switch)
    connect_timeout: float = attrs.field(default=10.0, validator=_seconds)
    stall_seconds: float = attrs.field(default=30.0, validator=_seconds)
    stall_bytes: int = attrs.field(default=1024, validator=_count)
    limit_rate: int | None = attrs.field(default=None, validator=_optional_count)
    api_requests: float | None = attrs.field(default=None, validator=_optional_rate)
    attempts: int = attrs.field(default=10, validator=_count)
    time_budget: float = attrs.field(default=300.0, validator=_seconds)
    private_stores: bool = attrs.field(default=False, validator=_switch)
    insecure_stores: bool = attrs.field(default=False, validator=_switch)
    portable_names: bool = attrs.field(default=False, validator=_switch)


class OptionChanges(TypedDict, total=False):
    """Fields of ``TransferOptions``, each of them optional."""

    connections: int | Literal["adaptive"]
    part_size: int
    verify: bool
    resume: bool
    durable: bool
    remember: bool
    connect_timeout: float
    stall_seconds: float
    stall_bytes: int
    limit_rate: int | None
    api_requests: float | None
    attempts: int
    time_budget: float
    private_stores: bool
    insecure_stores: bool
    portable_names: bool


def changed(options: TransferOptions, changes: OptionChanges) -> TransferOptions:
    """Return options with some of their fields changed.

    Raises:
        ConfigurationError: There is no such field, or it cannot have this value.
    """
    names = [field.name for field in attrs.fields(TransferOptions)]
    for name in changes:
        if name not in names:
            raise ConfigurationError(f"There is no option {name!r}; there are {', '.join(names)}.")
    return attrs.evolve(options, **changes)


PER_PAGE = 1000
"""Files per request. W&B's own client uses the same number in places; larger pages fail on some servers."""

RUNS_PER_PAGE = 50
"""Runs per request, as in W&B's own client. They may include files, ``PER_PAGE`` in total."""

PROJECTS_PER_PAGE = 200
"""Projects per request, as in W&B's own client."""

BLOCK_SIZE = 512 << 10
"""Minimum bytes per request of an open file. Formats that are read in pieces (zip, parquet, HDF5) rarely need more
at once, and at 100 MB/s this takes 5 ms, less than a request's latency."""

LAYOUT = "{run}"
"""The default layout of many runs, since names such as ``config.yaml`` exist in every run."""
