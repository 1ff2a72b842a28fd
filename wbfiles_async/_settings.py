"""What can be chosen, with its default, and where each chosen value is taken from.

Reads the settings files of W&B's own client. Knows no credentials and opens no connection.
"""

from __future__ import annotations

import configparser
import errno
import logging
import math
import os
import stat
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs

from wbfiles_async._errors import ConfigurationError
from wbfiles_async._wandb_settings import WITHOUT_EFFECT, hints

__all__ = [
    "ADAPTIVE",
    "CLOUD_HOSTS",
    "Settings",
    "TransferOptions",
    "expand_home",
    "home_folder",
    "load_settings",
    "read_regular",
]

logger = logging.getLogger(__name__)

CLOUD_HOSTS = frozenset({"api.forge.coreweave.com", "api.wandb.ai"})
"""The hosts of W&B's cloud; both lead to the same deployment, with the same keys."""

_DEFAULT_BASE_URL = "https://api.forge.coreweave.com"
# The cloud's web host passes the API on below this path; the API itself is on the subdomain `api`.
_FORGE_HOST, _FORGE_API_PATH = "forge.coreweave.com", "/api/wandb"
_DEFAULT_TIMEOUT = 19.0  # what wandb.Api waits, so that a script which moves over waits as long as before

_NO_HOME = Path("/nonexistent")  # Debian's name for it

_SECTION = "default"
_LONGEST_FILE = 64 << 10  # bytes; W&B's client writes a few lines
_FILE_KEYS = ("base_url", "entity", "project")
_VARIABLES = {"base_url": "WANDB_BASE_URL", "entity": "WANDB_ENTITY", "project": "WANDB_PROJECT"}
_OVERRIDES = (*_FILE_KEYS, "user_agent")
_OVERRIDES_WITHOUT_EFFECT = ("organization", "run")  # wandb.Api takes them; no file depends on them

_Layer = tuple[str, Mapping[str, str]]
"""Where values come from, as a message names it, and the values."""


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


def _seconds(options: object, field: attrs.Attribute[float], value: object) -> None:
    if not _is_seconds(value):
        raise ConfigurationError(f"TransferOptions.{field.name} must be a number of seconds above 0, not {value!r}.")


def _switch(options: object, field: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"TransferOptions.{field.name} must be True or False, not {value!r}.")


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


@attrs.frozen(kw_only=True)
class TransferOptions:
    r"""How bytes are transferred. Each default is meant to be right for nearly everyone.

    Attributes:
        connections: Simultaneous requests to the stores at most, files and parts together. With ``"adaptive"``, the
            default, up to 128 of them, and no more than a quarter of the files that the process may have open. How
            many there are follows from what they bring: a near store gets about eight, a distant one whose answers
            take long to begin a hundred, one that asks for less gets less.
        part_size: Bytes of one request for a part of a large file; up to four times as many where a
            connection brings more than 100 MB/s. 8 MiB make the request itself cheap beside its bytes, lose little
            with a broken connection, and still split a medium file. 64 KiB or more, since each part costs a request.
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
        limit_rate: Bytes a second that all connections of a client together receive from the stores, on average; never
            more than a quarter of a second's worth beyond. ``None``, the default, for no limit: who shares a line
            with others knows better than we do what is left for them.
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
    attempts: int = attrs.field(default=10, validator=_count)
    time_budget: float = attrs.field(default=300.0, validator=_seconds)
    private_stores: bool = attrs.field(default=False, validator=_switch)
    insecure_stores: bool = attrs.field(default=False, validator=_switch)
    portable_names: bool = attrs.field(default=False, validator=_switch)


PER_PAGE = 1000
"""Files that one request lists. W&B's own client requests as many in places; larger pages fail on some servers."""

RUNS_PER_PAGE = 50
"""Runs that one request lists, as with W&B's own client. Each may bring files along, ``PER_PAGE`` in all."""

LAYOUT = "{run}"
"""Where the files of each of many runs go: names such as ``config.yaml`` are those of every run."""


@attrs.frozen(kw_only=True)
class Settings:
    """How W&B's server is reached and which names a short run path leaves out.

    Attributes:
        base_url: Where the API is, without a slash at the end.
        entity: User or team of a path that names none; ``None`` if not set.
        project: Project of a path that names none; ``None`` if not set.
        timeout: Seconds that one answer of the API may take.
        user_agent: What the library calls itself towards the server.
    """

    base_url: str
    entity: str | None
    project: str | None
    timeout: float
    user_agent: str


def load_settings(
    overrides: Mapping[str, str] | None,
    *,
    timeout: float | None,
    base_url: str | None,
    entity: str | None,
    project: str | None,
    environ: Mapping[str, str],
    home: Path,
    folder: Path,
    own_client: bool = True,
) -> Settings:
    """Collect the settings. An empty value counts as not set.

    From lowest to highest: the defaults, the user's settings file (``$WANDB_CONFIG_DIR/settings`` or
    ``~/.config/wandb/settings``), the folder's (``wandb/settings``), the environment, ``overrides``, the
    other arguments. The folder's file never decides on ``base_url``: its author would be sent the user's key.

    Args:
        overrides: ``base_url``, ``entity``, ``project``, ``user_agent``; ``organization`` and ``run``, which
            ``wandb.Api`` takes too, have no effect.
        timeout: Seconds that one answer of the API may take.
        base_url: Where the API is.
        entity: User or team of a path that names none.
        project: Project of a path that names none.
        environ: The environment's variables.
        home: The user's home folder.
        folder: The current folder.
        own_client: Whether requests are sent by a client of ours; else settings of W&B's that have no effect need no
            warning, since the caller's own client may hold what does the same.

    Raises:
        ConfigurationError: A value cannot be used, or a settings file is malformed. A file that cannot be
            opened is passed over with a logged warning, as W&B's client does.
    """
    user_file = expand_home(environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb", home) / "settings"
    folder_file = folder / "wandb" / "settings"
    from_user, from_folder = _read_file(user_file), _read_file(folder_file)
    distrusted = from_folder.pop("base_url", "")
    layers: list[_Layer] = [
        (f"settings file {user_file}", from_user),
        (f"settings file {folder_file}", from_folder),
        *((name, {key: environ.get(name, "")}) for key, name in _VARIABLES.items()),
        ("overrides", _checked(overrides or {})),
        ("the arguments", {"base_url": base_url or "", "entity": entity or "", "project": project or ""}),
    ]
    chosen_url, source = _choose("base_url", layers)
    settings = Settings(
        base_url=_normalize(chosen_url, source) if chosen_url else _DEFAULT_BASE_URL,
        entity=_choose("entity", layers)[0] or None,
        project=_choose("project", layers)[0] or None,
        timeout=_timeout(timeout, environ),
        user_agent=_user_agent(_choose("user_agent", layers)[0]),
    )
    if distrusted and distrusted.rstrip("/") != settings.base_url:
        logger.warning(
            "%s names the server %s. That is not used, since a folder must not decide where the key is sent; "
            "set WANDB_BASE_URL if it is the right one",
            folder_file,
            _shown(distrusted),
        )
    for hint in hints(environ, {str(user_file): from_user, str(folder_file): from_folder}) if own_client else ():
        logger.warning("%s", hint)
    return settings


def home_folder() -> Path:
    """Return the user's home folder; one that does not exist for a user who has none."""
    try:
        return Path.home()
    except RuntimeError:
        return _NO_HOME


def expand_home(path: str, home: Path) -> Path:
    """Return the path with a leading ``~`` replaced by the user's home folder."""
    return home / path[1:].lstrip("/\\") if path == "~" or path.startswith(("~/", "~\\")) else Path(path)


def _choose(key: str, layers: list[_Layer]) -> tuple[str, str]:
    """Return the value of the highest layer that has one, and where it comes from; or two empty texts."""
    for source, values in reversed(layers):
        if value := values.get(key, "").strip():
            return value, source
    return "", ""


def read_regular(path: str | os.PathLike[str], most: int, *, folder: int | None = None) -> bytes:
    """Read a file that others may have put there: never waits for one, and reads none without end.

    Args:
        path: The file.
        most: Its length in bytes at most.
        folder: The open folder that the path is relative to.

    Raises:
        OSError: It cannot be opened, is no regular file, or is longer (``errno.EFBIG``).
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(file, "rb", closefd=False) as content:
            read = content.read(most + 1)
    finally:
        os.close(file)
    if len(read) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes")
    return read


class _Escapes(configparser.Interpolation):
    """Reads ``%%`` as ``%``, and refuses references to other options: a few lines of them could fill the memory."""

    def before_get(
        self,
        parser: MutableMapping[str, Mapping[str, str]],
        section: str,
        option: str,
        value: str,
        defaults: Mapping[str, str],
    ) -> str:
        if "%" in value.replace("%%", ""):
            raise configparser.InterpolationSyntaxError(option, section, "a single %")
        return value.replace("%%", "%")


def _read_file(path: Path) -> dict[str, str]:
    """Return what a settings file of W&B's client says on the names we use."""
    try:
        text = read_regular(path, _LONGEST_FILE).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigurationError(
                f"Settings file {path} is longer than {_LONGEST_FILE:,} bytes. Repair or remove it."
            ) from None
        # Such as the folder of another user, in a container that runs under any number.
        logger.warning("settings file %s cannot be read and is not used: %s", path, error.strerror)
        return {}
    except UnicodeDecodeError:
        raise ConfigurationError(f"Settings file {path} is not UTF-8 text. Repair or remove it.") from None
    parser = configparser.ConfigParser(interpolation=_Escapes())
    try:
        parser.read_string(text)
        known = (*_FILE_KEYS, *WITHOUT_EFFECT)
        return {key: parser.get(_SECTION, key) for key in known if parser.has_option(_SECTION, key)}
    except configparser.Error as error:
        # Passed over, it could send the key to another server than the one it names. The parser's own text
        # quotes lines of the file, which may hold a key.
        raise ConfigurationError(
            f"Settings file {path} is malformed{_place(error)}. It must look like\n"
            "[default]\nentity = my-team\nproject = my-project\nRepair or remove it."
        ) from None


def _place(error: configparser.Error) -> str:
    match error:
        case (
            configparser.MissingSectionHeaderError()
            | configparser.DuplicateOptionError()
            | configparser.DuplicateSectionError()
        ):
            return f" in line {error.lineno}"
        case configparser.ParsingError() if error.errors:
            return f" in line {error.errors[0][0]}"
        case configparser.InterpolationError():
            return f" at {error.option} (a % must be written %%)"
        case _:
            return ""


def _checked(overrides: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in overrides.items():
        if key not in _OVERRIDES and key not in _OVERRIDES_WITHOUT_EFFECT:
            raise ConfigurationError(f"overrides has no {key!r}; use {', '.join(_OVERRIDES)}.")
        # wandb.Api takes None for "not set", and scripts pass on what os.environ.get gave them.
        if not isinstance(value, str | None):
            raise ConfigurationError(f"overrides[{key!r}] must be a text, not {type(value).__name__}.")
        values[key] = value or ""
    return values


def _timeout(given: float | None, environ: Mapping[str, str]) -> float:
    if given is not None:
        if not _is_seconds(given):
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {given!r}.")
        return given
    text = environ.get("WANDB_HTTP_TIMEOUT", "").strip()
    if not text:
        return _DEFAULT_TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _is_seconds(seconds):
        raise ConfigurationError(f"WANDB_HTTP_TIMEOUT must be a number of seconds above 0, not {text!r}.")
    return seconds


def _user_agent(text: str) -> str:
    if not text:
        from wbfiles_async import __version__

        return f"wbfiles-async/{__version__}"
    if not (text.isascii() and text.isprintable()):
        raise ConfigurationError("overrides['user_agent'] must be printable ASCII, since it becomes a header.")
    return text


def _normalize(text: str, source: str) -> str:
    """Return the base URL as requests use it, or say why it cannot be one."""
    url = text.rstrip("/")
    where = f"base_url {_shown(url)!r} (from {source})"
    # Clients disagree about such characters, so that the host judged here might not be the one connected to.
    if not url.isprintable() or " " in url or "\\" in url:
        raise ConfigurationError(f"{where} holds a blank, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ConfigurationError(f"{where} is not a URL; it should look like {_DEFAULT_BASE_URL}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{where} must be an http or https URL, such as {_DEFAULT_BASE_URL}.")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ConfigurationError(f"{where} must hold no user, password, query or fragment.")
    if host == _FORGE_HOST and (port, parts.path) == (None, _FORGE_API_PATH):
        host, url = f"api.{host}", f"{parts.scheme}://api.{host}"
    in_cloud = host in CLOUD_HOSTS or host in (_FORGE_HOST, "wandb.ai") or host.endswith(".wandb.ai")
    if in_cloud and host not in CLOUD_HOSTS and "api." not in host:
        raise ConfigurationError(f"{where} is a web page of W&B and not its API; use {_DEFAULT_BASE_URL}.")
    if in_cloud and parts.scheme != "https":
        raise ConfigurationError(f"{where} would send the key unencrypted; use https.")
    return url


def _shown(url: str) -> str:
    """Return the URL without what could hold a secret: user, password, query and fragment."""
    return "***" if "@" in url else url.partition("#")[0].partition("?")[0]
