"""The server of the live view: loopback only, read only, for whoever has the address with its token.

A page of another site cannot reach it: the `Host` must be this server's own (so no name can be rebound to it), the
`Origin`, if there is one, too, and the path must begin with a random token.
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
    "Cache-Control": "no-store", "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}  # fmt: skip


def serve(folder: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the run's page until interrupted; `ready` is told its address. Port 0 takes any that is free.

    Raises `InputError` for a folder that holds no run, or a port that is taken, and `MissingExtraError`.
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
        except KeyboardInterrupt:  # the way to end it
            return


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"Port {port} cannot be used: {error}.", "Choose another --port, or none.") from error
    return listener


def build_app(follower: Follower, token: str, host: str) -> Starlette:
    """The application: the page, its index, its texts; everything else is refused. `host` is address:port."""
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

    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = refuse(request, token, host)
        response = await answer(request) if refused is None else Response(status_code=refused)
        response.headers.update(HEADERS)
        return response

    routes = [
        Route("/{token}/", page), Route("/{token}/index", index), Route("/{token}/texts/{kind}/{number:int}", texts),
    ]  # fmt: skip
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])


def refuse(request: Request, token: str, host: str) -> int | None:
    """The status with which a request is refused, or None for one of the page's own."""
    if request.method != "GET":
        return 405
    if request.headers.get("host") != host or request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return 403
    given = request.url.path.removeprefix("/").split("/")[0]
    return None if secrets.compare_digest(given.encode(), token.encode()) else 404
