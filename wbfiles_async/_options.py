"""How transfers behave and how much one request lists: the only place with defaults. Performs no I/O."""

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
"""Bytes of a part at least: below that the requests' own heads and waiting outweigh what they bring."""


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
    """Return whether a value is a number of seconds above 0, or another such amount."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


@attrs.frozen(kw_only=True)
class TransferOptions:
    r"""How bytes are transferred. Each default is meant to be right for nearly everyone.

    Attributes:
        connections: Simultaneous requests to the stores at most, files and parts together. With ``"adaptive"``, the
            default, up to 128 of them, and no more than a quarter of the files that the process may have open. How
            many there are follows from what they bring: a near store gets about eight, a distant one whose answers
            take long to begin a hundred, one that asks for less gets less.
        part_size: Bytes of one request for a part of a large file, where its connections are slow; more where they are
            fast, or the store takes long to answer. 8 MiB make the request itself cheap beside its bytes, and still
            split a medium file. 64 KiB or more, since each part costs a request.
        verify: Compare the md5 of the file with the server's. Takes a core at 600 to 900 MB/s, more than most
            links bring, and nothing else notices a flipped bit.
        resume: Keep what has arrived of a large file when its download is interrupted, and resume there the next
            time, in another process too. Only where the store states a strong ETag and the server an md5, which is
            compared over the whole file. On, since the left-over is hidden, and removed when it is of no use.
        durable: Flush file and folder to the disk before the file counts as written. Off, since each file
            then waits for the disk, and one that a power cut took can be fetched again.
        remember: Remember, in the file ``.wbfiles-state`` below the root of a bulk download, which files were found
            right, so that the next one does not read them again while they are unchanged. Reading a terabyte to
            learn that it is still there takes half an hour.
        connect_timeout: Seconds in which a connection must stand. Long enough for TCP to repeat its first
            packet three times.
        stall_seconds: Seconds of the window in which a connection must deliver ``stall_bytes``. Longer than a
            busy store thinks, short enough to notice a peer that vanished.
        stall_bytes: Bytes; a connection that delivers fewer in a window is given up. So few that a slow but
            healthy link, of 1 Mbit/s say, is never taken for a fault.
        limit_rate: Bytes a second that all connections of a client together receive from the stores and send to
            them, on average; never more than a quarter of a second's worth beyond. ``None``, the default, for no limit:
            who shares a line with others knows better than we do what is left for them.
        api_requests: Requests to the API a second at most, on average. ``None``, the default, for as many as the
            server's own limits allow, which are kept in any case. For many processes that share one account: a server
            counts their requests together.
        attempts: Tries per file in a row that bring no progress. Ten, with doubling waits between them, take most
            of a minute: a link that was down for half of one is survived.
        time_budget: Seconds that one file, or one call of the API, may keep failing without progress. Five
            minutes outlast a restart on the way, and a server that stays away holds nobody up for longer.
        private_stores: Fetch from stores at private addresses (of a network of your own, or of this machine) also
            where the configured server has a public one. Off, since the server's answers, which others write,
            would else reach into your network; needed where a bucket is reached by a private endpoint. Where the
            server has a private address itself, stores may anyway.
        insecure_stores: Fetch files by plain http although the API is https. Off, since the signed URLs and the files
            could be read, and changed, on the way.
        portable_names: Refuse names that only another system cannot hold: those with one of ``\ : * ? " < > |``, with
            a dot or blank at the end of a folder or file, and Windows' devices (``con``, ``nul.txt``). Off, since runs
            log such names every day; for folders that are moved to Windows later.

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
"""Files that one request lists. W&B's own client requests as many in places; larger pages fail on some servers."""

RUNS_PER_PAGE = 50
"""Runs that one request lists, as with W&B's own client. Each may bring files along, ``PER_PAGE`` in all."""

PROJECTS_PER_PAGE = 200
"""Projects that one request lists, as with W&B's own client."""

BLOCK_SIZE = 512 << 10
"""Bytes that an open file requests at least. Formats that are read in pieces (zip, parquet, HDF5) seldom want more at
once, and on a link of 100 MB/s so much takes 5 ms, which is less than a request does."""

LAYOUT = "{run}"
"""Where the files of each of many runs go: names such as ``config.yaml`` are those of every run."""
