"""The server of the live view: read-only, on loopback, for clients that know the token in its address.

Pages of other sites have no access: `Host` must be this server's own (against DNS rebinding), so must a given
`Origin`, and the path must start with a random token.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from society.core.errors import InputError, MissingExtraError
from society.report.page import KINDS, build_page
from society.view.follow import Follower

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response."""


def serve(folder: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the run's page until interrupted. `ready` is called with its address; port 0 takes any free port.

    Raises `InputError` for a folder without a run or a port in use, and `MissingExtraError` without uvicorn.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("society view", "uvicorn", "view") from error
    follower = Follower(folder)
    with _listen(port) as listener:
        host = f"{LOOPBACK}:{listener.getsockname()[1]}"
        token = secrets.token_urlsafe(24)
        app = build_app(follower, token, host)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        ready(f"http://{host}/{token}/")
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # how users stop the server
            return


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(
            f"Port {port} cannot be used: {error}.", "Choose another --port, or leave the option out."
        ) from error
    return listener


def build_app(follower: Follower, token: str, host: str) -> Starlette:
    """Return the application, which serves the page, its index and its texts. `host` is "address:port"."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    def page(request: Request) -> Response:
        return HTMLResponse(build_page("live", live=True))

    def index(request: Request) -> Response:
        found = follower.index(request.query_params.get("cursor", ""))
        return Response(status_code=204) if found is None else JSONResponse(found)

    def texts(request: Request) -> Response:
        kind, number = request.path_params["kind"], request.path_params["number"]
        return JSONResponse(follower.chunk(kind, number)) if kind in KINDS else Response(status_code=404)

    async def guard(request: Request, respond: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = refuse(request, token, host)
        response = await respond(request) if refused is None else Response(status_code=refused)
        response.headers.update(HEADERS)
        return response

    routes = [
        Route("/{token}/", page),
        Route("/{token}/index", index),
        Route("/{token}/texts/{kind}/{number:int}", texts),
    ]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])


def refuse(request: Request, token: str, host: str) -> int | None:
    """Return the status that refuses the request, or None for a request of the page itself."""
    if request.method != "GET":
        return 405
    if request.headers.get("host") != host or request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return 403
    given = request.url.path.removeprefix("/").split("/")[0]
    return None if secrets.compare_digest(given.encode(), token.encode()) else 404
