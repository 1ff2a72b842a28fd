"""Where the server is, and which names run paths leave out: from arguments, environment and W&B's settings files.

Knows no credentials and opens no connection.
"""

from __future__ import annotations

import configparser
import errno
import logging
import math
import os
import stat
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from wbfiles_async._errors import ConfigurationError
from wbfiles_async._options import is_seconds
from wbfiles_async._wandb_settings import WITHOUT_EFFECT, hints

__all__ = ["CLOUD_HOSTS", "Settings", "expand_home", "home_folder", "load_settings", "with_timeout"]

logger = logging.getLogger(__name__)

CLOUD_HOSTS = frozenset({"api.forge.coreweave.com", "api.wandb.ai"})
"""The hosts of W&B's cloud; both lead to the same deployment, with the same keys."""

_DEFAULT_BASE_URL = "https://api.forge.coreweave.com"
# The cloud's web host passes the API on below this path; the API itself is on the subdomain `api`.
_FORGE_HOST, _FORGE_API_PATH = "forge.coreweave.com", "/api/wandb"
_DEFAULT_TIMEOUT = 19.0  # what wandb.Api waits, so that a script which moves over waits as long as before

if sys.platform == "win32":
    _READ = os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT
else:
    _READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_NO_HOME = Path("/nonexistent")  # Debian's name for it

_SECTION = "default"
_LONGEST_FILE = 64 << 10  # bytes; W&B's client writes a few lines
_FILE_KEYS = ("base_url", "entity", "project")
_VARIABLES = {"base_url": "WANDB_BASE_URL", "entity": "WANDB_ENTITY", "project": "WANDB_PROJECT"}
_OVERRIDES = (*_FILE_KEYS, "user_agent")
_OVERRIDES_WITHOUT_EFFECT = ("organization", "run")  # wandb.Api takes them; no file depends on them

_Layer = tuple[str, Mapping[str, str]]
"""Where values come from, as a message names it, and the values."""


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


def _read_regular(path: Path, most: int) -> bytes:
    """Read a file that others may have put there: never waits for one, and reads none without end.

    Args:
        path: The file.
        most: Its length in bytes at most.

    Raises:
        OSError: It cannot be opened, is no regular file, or is longer (``errno.EFBIG``).
    """
    file = os.open(path, _READ)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
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
        text = _read_regular(path, _LONGEST_FILE).decode("utf-8-sig")
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
            raise ConfigurationError(f"overrides[{key!r}] must be a string, not {type(value).__name__}.")
        values[key] = value or ""
    return values


def with_timeout(settings: Settings, timeout: float | None) -> Settings:
    """Return the settings with another time for an answer of the API, unless it is ``None``.

    Raises:
        ConfigurationError: It is no number of seconds.
    """
    return settings if timeout is None else attrs.evolve(settings, timeout=_timeout(timeout, {}))


def _timeout(given: float | None, environ: Mapping[str, str]) -> float:
    if given is not None:
        if not is_seconds(given):
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {given!r}.")
        return given
    text = environ.get("WANDB_HTTP_TIMEOUT", "").strip()
    if not text:
        return _DEFAULT_TIMEOUT
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not is_seconds(seconds):
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
        raise ConfigurationError(f"{where} contains a space, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ConfigurationError(f"{where} is not a URL; it should look like {_DEFAULT_BASE_URL}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{where} must be an http or https URL, such as {_DEFAULT_BASE_URL}.")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ConfigurationError(f"{where} must not contain a user, password, query or fragment.")
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
