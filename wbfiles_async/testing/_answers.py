"""How errors are written: JSON by the API, XML by the store. Knows nothing of when they occur."""

from __future__ import annotations

from xml.sax.saxutils import escape

from aiohttp import web


def api_error(status: int, message: str, code: str | None = None) -> web.Response:
    """Return an error as W&B's API writes it.

    Args:
        status: The HTTP status.
        message: What was wrong.
        code: W&B's word for the kind of error, where it has one.
    """
    error: dict[str, object] = {"message": message}
    if code is not None:
        error["extensions"] = {"code": code}
    return web.json_response({"errors": [error]}, status=status)


def store_error(status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """Return an error as S3 writes it."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)
