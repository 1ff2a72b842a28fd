"""Proxies of the system's settings, if no variable names one."""

from __future__ import annotations

import sys

import pytest

from wbfiles_async._http.system_proxies import read_proxies, system_proxies


def test_variables_come_first() -> None:
    proxy = read_proxies({"HTTP_PROXY": "http://proxy.test:1"}).choose("http", "example.com", 80)
    assert str(proxy) == "http://proxy.test:1"


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="depends on the machine's settings")
def test_no_settings_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:1")
    assert read_proxies({}).is_empty, "the variables are those that were handed in"


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="depends on the machine's settings")
def test_form_of_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems this function reads variables, in the form of the settings of macOS and Windows."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:1")
    monkeypatch.setenv("NO_PROXY", "internal.test")
    rules = system_proxies()
    assert str(rules.choose("http", "example.com", 80)) == "http://proxy.test:1"
    assert rules.choose("http", "internal.test", 80) is None
