"""Settings of W&B's own client without effect here, and their equivalents. Performs no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["WITHOUT_EFFECT", "hints"]

_PREFIX: Final = "WANDB_"
_OFF: Final = frozenset({"", "0", "false", "f", "no", "n", "off"})

_PROXY: Final = "set HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
_ATTEMPTS: Final = "use TransferOptions(attempts=...)"

WITHOUT_EFFECT: Final = {
    "insecure_disable_ssl": "certificates are always checked: set SSL_CERT_FILE to that of your own authority, or pass "
    "http_client=httpx.AsyncClient(verify=False) to the client",
    "http_proxy": _PROXY,
    "https_proxy": _PROXY,
    "x_proxies": _PROXY,
    "x_extra_http_headers": "pass http_client=httpx.AsyncClient(headers=...) to the client",
    "x_graphql_timeout_seconds": "set WANDB_HTTP_TIMEOUT, or pass timeout=... to the client",
    "x_graphql_retry_max": _ATTEMPTS,
    "x_file_transfer_timeout_seconds": "use TransferOptions(stall_seconds=...)",
    "x_file_transfer_retry_max": _ATTEMPTS,
}
"""Names in settings files about the connection to the API and the stores, each with its equivalent."""


def hints(environ: Mapping[str, str], files: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield a sentence for each setting that is on and has no effect.

    Args:
        environ: The environment's variables.
        files: The contents of settings files, by path.
    """
    for name, instead in WITHOUT_EFFECT.items():
        for variable in _variables(name):
            if environ.get(variable, "").strip().lower() not in _OFF:
                yield f"{variable} has no effect here: {instead}"
        for path, values in files.items():
            if values.get(name, "").strip().lower() not in _OFF:
                yield f"{name} in settings file {path} has no effect here: {instead}"


def _variables(name: str) -> tuple[str, ...]:
    """Return the environment's variables of a setting: ``x_NAME`` has two spellings, one with an underscore for it."""
    plain = _PREFIX + name.upper()
    return (plain, _PREFIX + name.removeprefix("x").upper()) if name.startswith("x_") else (plain,)
