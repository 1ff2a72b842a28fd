"""Find the credentials for W&B, or explain where they were looked for.

Reads the environment and a netrc file. Makes no request, and does not know HTTP headers.
"""

from __future__ import annotations

import netrc
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import attrs

from wbfiles_async._settings import CLOUD_HOSTS, expand_home
from wbfiles_async.errors import AuthenticationError, ConfigurationError

__all__ = [
    "ApiKey",
    "Credentials",
    "IdentityToken",
    "find_credentials",
    "missing_credentials",
    "refused_credentials",
]

_KEY_VARIABLE = "WANDB_API_KEY"
_TOKEN_VARIABLE = "WANDB_IDENTITY_TOKEN_FILE"  # noqa: S105  (a variable's name)
_CACHE_VARIABLE = "WANDB_CREDENTIALS_FILE"

_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_SECRET = re.compile(r"[\w-]*", re.ASCII)
_SHORTEST_SECRET = 40  # characters; as W&B's client requires


def _stripped(text: str) -> str:
    # Keys from files and secret stores often end with a newline.
    return text.strip()


@attrs.frozen
class ApiKey:
    """A W&B API key of valid form. Neither shown nor pickled.

    Attributes:
        value: The key.
        source: Where it was found, for messages.

    Raises:
        AuthenticationError: The text cannot be a key; the message says why without showing it.
    """

    value: str = attrs.field(repr=False, converter=_stripped)
    source: str = "the api_key argument"

    def __attrs_post_init__(self) -> None:
        if flaw := _flaw(self.value):
            raise AuthenticationError(
                f"The API key from {self.source} is not an API key: it {flaw}. A key has {_SHORTEST_SECRET} "
                "or more letters, digits, '_' and '-', perhaps after a prefix and a '-'. Copy all of it again."
            )

    def __reduce__(self) -> NoReturn:
        raise TypeError("An API key is not pickled, so that it does not end up in files; look it up again.")


@attrs.frozen
class IdentityToken:
    """The file of a JWT that W&B exchanges for an access token.

    Attributes:
        path: The file; read again for each exchange, since providers replace its content.
        cache: The file in which W&B's client keeps access tokens; ``None`` to keep them in memory only.
    """

    path: Path
    cache: Path | None = None


Credentials = ApiKey | IdentityToken


def find_credentials(
    api_key: str | None, *, base_url: str, environ: Mapping[str, str], home: Path
) -> Credentials | None:
    """Return the credentials for a server, from the first source that has any.

    The sources: the argument, the environment, and the netrc file's entry for exactly this server. The ``default``
    entry of a netrc file is never used, since it would be sent to any server.

    Args:
        api_key: An explicit key; ``None`` or empty if there is none.
        base_url: The server, as in `Settings`.
        environ: The environment's variables.
        home: The user's home folder.

    Raises:
        AuthenticationError: An invalid key was found.
        ConfigurationError: The environment has both a key and an identity token.
    """
    if api_key:
        return ApiKey(api_key)
    key, token = environ.get(_KEY_VARIABLE), environ.get(_TOKEN_VARIABLE)
    if key and token:
        raise ConfigurationError(
            f"Both {_KEY_VARIABLE} and {_TOKEN_VARIABLE} are set, and either could be meant. Unset one."
        )
    if key:
        return ApiKey(key, _KEY_VARIABLE)
    if token:
        cache = environ.get(_CACHE_VARIABLE) or "~/.config/wandb/credentials.json"
        return IdentityToken(expand_home(token, home).absolute(), expand_home(cache, home).absolute())
    for path in _netrc_files(environ, home):
        found = _look_into(path, base_url)
        if found.exists:
            return ApiKey(found.password, str(path)) if found.password else None
    return None


def missing_credentials(base_url: str, environ: Mapping[str, str], home: Path) -> AuthenticationError:
    """Return the error for a server without credentials: the sources that were checked, and what to do."""
    places = [f"{name} is not set" for name in (_KEY_VARIABLE, _TOKEN_VARIABLE) if not environ.get(name)]
    for path in _netrc_files(environ, home):
        found = _look_into(path, base_url)
        places.append(f"{path} {found.outcome}")
        if found.exists:
            break
    return AuthenticationError(
        f"No credentials for {base_url}.\n"
        "Looked at: no api_key was given; " + "; ".join(places) + ".\n"
        f"To log in, get a key from {_key_page(base_url)} and set {_KEY_VARIABLE} to it, or pass it as "
        f"api_key=..., or add a line to the netrc file: "
        f"machine {_machines(base_url)[0]} login user password <key>"
    )


def refused_credentials(credentials: Credentials, base_url: str) -> AuthenticationError:
    """Return the error for refused credentials: their source, and what to do."""
    match credentials:
        case ApiKey(source=source):
            return AuthenticationError(
                f"{base_url} did not accept the API key from {source}. It may be revoked, or "
                f"another server's; get a new one from {_key_page(base_url)}"
            )
        case IdentityToken(path=path):
            return AuthenticationError(
                f"{base_url} did not accept the access token it gave for the identity token in {path}. Check "
                "that the identity provider is set up for your organization in W&B"
            )


def _flaw(key: str) -> str:
    """Return why a text cannot be a key; an empty text if it can.

    Source:
        ``wandb.sdk.lib.wbauth.validation.check_api_key`` of wandb 0.31.0.
    """
    if not key:
        return "is empty"
    if _JWT.fullmatch(key):
        return ""
    prefix, dash, rest = key.partition("-")
    secret = rest if dash else prefix
    if not _SECRET.fullmatch(secret):
        return "holds other characters, such as a quote or a blank"
    if len(secret) < _SHORTEST_SECRET:
        return f"has only {len(secret)} characters" + (" after its prefix" if dash else "")
    return ""


@attrs.frozen
class _NetrcFinding:
    outcome: str
    exists: bool = True
    password: str = attrs.field(default="", repr=False)


def _netrc_files(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield the possible paths of a netrc file; only the first that exists is used."""
    if path := environ.get("NETRC"):
        yield expand_home(path, home)
    else:
        yield home / ".netrc"
        yield home / "_netrc"


def _look_into(path: Path, base_url: str) -> _NetrcFinding:
    """Read the entry of a netrc file for a server. An unreadable file counts as one without an entry."""
    machines = _machines(base_url)
    try:
        hosts = netrc.netrc(path).hosts
    except (FileNotFoundError, NotADirectoryError):
        return _NetrcFinding("does not exist", exists=False)
    except OSError as error:
        return _NetrcFinding(f"cannot be read ({error.strerror})")
    except netrc.NetrcParseError as error:
        # Its text would quote the wrong word, which may be the key.
        return _NetrcFinding(f"cannot be read (malformed in line {error.lineno})")
    except ValueError:
        return _NetrcFinding("cannot be read (not a text)")
    for machine in machines:
        # The parser stores the default entry under this name, like a host.
        if machine in hosts and machine != "default":
            password = hosts[machine][2] or ""
            outcome = f"has an entry for {machine}" + ("" if password else " without a password")
            return _NetrcFinding(outcome, password=password)
    return _NetrcFinding(f"has no entry for {' or '.join(machines)}")


def _machines(base_url: str) -> list[str]:
    """Return the possible names of a server in a netrc file, as W&B's client writes them: host and port."""
    parts = urlsplit(base_url)
    machines = [parts.netloc]
    if parts.hostname in CLOUD_HOSTS and "api.wandb.ai" not in machines:
        machines.append("api.wandb.ai")
    return machines


def _key_page(base_url: str) -> str:
    """Return the page where users get a key.

    Source:
        ``wandb.util.api_to_app_url`` of wandb 0.31.0.
    """
    parts = urlsplit(base_url)
    if parts.hostname == "api.forge.coreweave.com":
        return "https://forge.coreweave.com/wandb/authorize"
    web = parts.netloc
    if web.startswith("api."):
        web = web.removeprefix("api.") if web.startswith("api.wandb.") else f"app.{web.removeprefix('api.')}"
    return f"{parts.scheme}://{web}{parts.path}/authorize"
