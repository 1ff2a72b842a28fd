"""Reads the proxies of the environment and, on macOS and Windows, of the system's settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from urllib.request import getproxies, proxy_bypass

from wbfiles_async._http.proxies import ProxyRules

__all__ = ["read_proxies", "system_proxies"]


def read_proxies(environ: Mapping[str, str]) -> ProxyRules:
    """Return the rules of the environment, or, if no variable names a proxy, those of the system's settings."""
    rules = ProxyRules.from_environment(environ)
    if not rules.is_empty or sys.platform not in ("darwin", "win32"):
        return rules
    return system_proxies()


def system_proxies() -> ProxyRules:
    """Return the rules of the system's settings; except on macOS and Windows, those of this process's variables.

    Reads the registry or the system's configuration, also for its exceptions whenever a proxy is chosen.
    """
    settings = {f"{scheme}_proxy": url for scheme, url in getproxies().items()}
    return ProxyRules.from_environment(settings, is_excepted=proxy_bypass)
