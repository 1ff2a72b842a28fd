"""The server's URL and the defaults of run paths: from arguments, environment and W&B's settings files.

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
# The cloud's web host forwards the API below this path; the API itself is on the subdomain `api`.
_FORGE_HOST, _FORGE_API_PATH = "forge.coreweave.com", "/api/wandb"
_DEFAULT_TIMEOUT = 19.0  # as in wandb.Api, so that ported scripts wait equally long

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
_OVERRIDES_WITHOUT_EFFECT = ("organization", "run")  # accepted by wandb.Api; irrelevant for files

_Layer = tuple[str, Mapping[str, str]]
"""The name of a source in messages, and its values."""


@attrs.frozen(kw_only=True)
class Settings:
    """The server's URL and the defaults of short run paths.

    Attributes:
        base_url: The API's URL, without a trailing slash.
        entity: User or team of a path that names none; ``None`` if not set.
        project: Project of a path that names none; ``None`` if not set.
        timeout: Timeout of one response of the API in seconds.
        user_agent: The user agent.
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
    other arguments. The folder's file never sets ``base_url``, since its author would receive the user's key.

    Args:
        overrides: ``base_url``, ``entity``, ``project``, ``user_agent``; ``organization`` and ``run``, which
            ``wandb.Api`` also accepts, have no effect.
        timeout: Timeout of one response of the API in seconds.
        base_url: The API's URL.
        entity: User or team of a path that names none.
        project: Project of a path that names none.
        environ: The environment's variables.
        home: The user's home folder.
        folder: The current folder.
        own_client: Whether our own client sends requests; otherwise there is no warning about ineffective settings
            of W&B, since the caller's client may have the equivalent.

    Raises:
        ConfigurationError: A value cannot be used, or a settings file is malformed. A file that cannot be opened is
            skipped with a logged warning, as by W&B's client.
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
    """Return the user's home folder; a path that does not exist if there is none."""
    try:
        return Path.home()
    except RuntimeError:
        return _NO_HOME


def expand_home(path: str, home: Path) -> Path:
    """Return the path with a leading ``~`` replaced by the user's home folder."""
    return home / path[1:].lstrip("/\\") if path == "~" or path.startswith(("~/", "~\\")) else Path(path)


def _choose(key: str, layers: list[_Layer]) -> tuple[str, str]:
    """Return the value of the highest layer that has one, and its source; or two empty texts."""
    for source, values in reversed(layers):
        if value := values.get(key, "").strip():
            return value, source
    return "", ""


def _read_regular(path: Path, most: int) -> bytes:
    """Read a file that others may have written, without blocking on special files and within a bound.

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
    """Parses ``%%`` as ``%``, and refuses references to other options, a few lines of which could fill the memory."""

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
    """Return the settings that we use from a settings file of W&B's client."""
    try:
        text = _read_regular(path, _LONGEST_FILE).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigurationError(
                f"Settings file {path} is longer than {_LONGEST_FILE:,} bytes. Repair or remove it."
            ) from None
        # Such as another user's folder, in a container with an arbitrary user id.
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
        # Skipping it could send the key to another server than the one it names. The parser's own message quotes
        # lines of the file, which may contain a key.
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
        # None means "not set" in wandb.Api, and scripts pass on results of os.environ.get.
        if not isinstance(value, str | None):
            raise ConfigurationError(f"overrides[{key!r}] must be a string, not {type(value).__name__}.")
        values[key] = value or ""
    return values


def with_timeout(settings: Settings, timeout: float | None) -> Settings:
    """Return the settings with another timeout of the API, unless it is ``None``.

    Raises:
        ConfigurationError: It is not a number of seconds.
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
    """Normalize the base URL, or raise."""
    url = text.rstrip("/")
    where = f"base_url {_shown(url)!r} (from {source})"
    # Clients disagree about such characters, so the host checked here might not be the one connected to.
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
    """Return the URL without parts that could contain a secret: user, password, query and fragment."""
    return "***" if "@" in url else url.partition("#")[0].partition("?")[0]
