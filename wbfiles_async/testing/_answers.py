"""The responses for errors: JSON from the API, XML from the store. Does not decide when they occur."""

from __future__ import annotations

from xml.sax.saxutils import escape

from aiohttp import web


def api_error(status: int, message: str, code: str | None = None) -> web.Response:
    """Return an error in the form of W&B's API.

    Args:
        status: The HTTP status.
        message: What was wrong.
        code: W&B's name for the kind of error, if any.
    """
    error: dict[str, object] = {"message": message}
    if code is not None:
        error["extensions"] = {"code": code}
    return web.json_response({"errors": [error]}, status=status)


def store_error(status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """Return an error in the form of S3."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    )
    return web.Response(status=status, text=text, content_type="application/xml", headers=headers)
