"""Serve S3 by moto on a free port of loopback until stdin ends; print the port.

In addition to S3, ``POST /_faults`` accepts a JSON list of faults: ``method, contains, status, code, times``. The
next ``times`` requests of the method whose URL contains the text get the status, with S3's XML of the code.
``GET /_requests`` gives the method and the target of each request so far.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
faults: list[dict[str, Any]] = []
requests: list[str] = []
moto = DomainDispatcherApplication(create_backend_app)


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]

    def answer(status: int, body: bytes, kind: str) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(f"{status} Scripted", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    if target == "/_faults":
        faults[:] = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        start_response("204 No Content", [])
        return []
    if target == "/_requests":
        return answer(200, json.dumps(requests).encode(), "application/json")
    requests.append(f"{method} {target}")
    for fault in faults:
        if fault["times"] > 0 and fault["method"] == method and fault["contains"] in target:
            fault["times"] -= 1
            xml = f"<?xml version='1.0'?><Error><Code>{fault['code']}</Code><Message>No.</Message></Error>"
            return answer(fault["status"], xml.encode(), "application/xml")
    result: Iterable[bytes] = moto(environ, start_response)
    return result


logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.port, flush=True)
sys.stdin.read()
