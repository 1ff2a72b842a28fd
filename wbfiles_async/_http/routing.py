"""Chooses the transport of a request by its proxy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import httpx

from wbfiles_async._http.cancel_once import cancel_once
from wbfiles_async._http.connect import DEFAULT_PORTS
from wbfiles_async._http.proxies import Proxy, ProxyRules, ProxyUrlError
from wbfiles_async._http.transport import DrainingTransport

__all__ = ["RoutingTransport"]


class RoutingTransport(httpx.AsyncBaseTransport):
    """Sends requests with our transport, or with httpx's if the proxy is one of SOCKS or is reached over TLS.

    httpx's mounts choose by patterns, which cannot express ``NO_PROXY``'s networks.

    Args:
        proxies: The proxy rules.
        tls: Returns the context that verifies servers' certificates. Called in a worker thread, at first use.
    """

    def __init__(self, proxies: ProxyRules, tls: Callable[[], ssl.SSLContext]) -> None:
        self._proxies = proxies
        self._tls = tls
        self._own = DrainingTransport(tls)
        self._others: dict[Proxy, httpx.AsyncHTTPTransport] = {}
        self._opening = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        proxy = self._proxies.choose(url.scheme, url.host, url.port or DEFAULT_PORTS.get(url.scheme, 0))
        if proxy is None or proxy.scheme == "http":
            request.extensions["proxy"] = proxy
            return await self._own.handle_async_request(request)
        async with self._opening:
            if proxy not in self._others:
                self._others[proxy] = await asyncio.to_thread(self._open, proxy)
        if proxy.scheme == "https" and url.scheme == "http" and "target" in request.extensions:
            # The proxy needs the whole URL, in place of which httpcore would send this extension.
            request.extensions["target"] = b"http://" + url.netloc + request.extensions["target"]
        return await cancel_once(self._others[proxy].handle_async_request(request))

    def _open(self, proxy: Proxy) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=None)
        try:
            return httpx.AsyncHTTPTransport(verify=self._tls(), proxy=proxy.url, limits=limits, trust_env=False)
        except ImportError:
            raise ProxyUrlError(
                f"{proxy} is a SOCKS proxy, which needs the package socksio: pip install 'httpx[socks]'. Or list the "
                "host in NO_PROXY"
            ) from None

    async def aclose(self) -> None:
        await self._own.aclose()
        for transport in self._others.values():
            await transport.aclose()
