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

from society.core.errors import InputError, MissingExtraError, SocietyError
from society.report.page import KINDS, build_page
from society.report.run_list import is_run
from society.view.follow import Follower
from society.view.runs_folder import RunsFolder

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response."""


def serve(
    folder: Path, port: int, ready: Callable[[str], None], started: Callable[[uvicorn.Server], None] | None = None
) -> None:
    """Serve the page of a run, or the list of the runs in a folder, until interrupted.

    `ready` is called with the page's address; port 0 takes any free port. Raises `InputError` for a folder without a
    run or a port in use, and `MissingExtraError` without uvicorn. `started` receives the server, whose `should_exit`
    ends it from another thread.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("society view", "uvicorn", "view") from error
    source = Follower(folder) if is_run(folder) else RunsFolder(folder)
    with _listen(port) as listener:
        host = f"{LOOPBACK}:{listener.getsockname()[1]}"
        token = secrets.token_urlsafe(24)
        app = build_app(source, token, host)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        if started is not None:
            started(server)
        ready(f"http://{host}/{token}/")
        try:
            server.run(sockets=[listener])
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


def build_app(source: Follower | RunsFolder, token: str, host: str) -> Starlette:
    """Return the application of a run, or of a folder with runs. `host` is "address:port"."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import Response
    from starlette.routing import Mount

    async def guard(request: Request, respond: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = refuse(request, token, host)
        response = await respond(request) if refused is None else Response(status_code=refused)
        response.headers.update(HEADERS)
        return response

    routes = _list_routes(source) if isinstance(source, RunsFolder) else _run_routes(lambda request: source)
    return Starlette(
        routes=[Mount("/{token}", routes=routes)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)]
    )


def _run_routes(find: Callable[[Request], Follower]) -> list[BaseRoute]:
    """Return the routes of a run: its page, its index and its texts. `find` returns the run of a request."""
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    def page(request: Request) -> Response:
        find(request)
        return HTMLResponse(build_page("live", live=True))

    def index(request: Request) -> Response:
        found = find(request).index(request.query_params.get("cursor", ""))
        return Response(status_code=204) if found is None else JSONResponse(found)

    def texts(request: Request) -> Response:
        kind, number = request.path_params["kind"], request.path_params["number"]
        return JSONResponse(find(request).chunk(kind, number)) if kind in KINDS else Response(status_code=404)

    return [Route("/", page), Route("/index", index), Route("/texts/{kind}/{number:int}", texts)]


def _list_routes(runs: RunsFolder) -> list[BaseRoute]:
    """Return the routes of a list of runs: its page, its index, and below `runs/NUMBER` those of each run."""
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Mount, Route

    def page(request: Request) -> Response:
        return HTMLResponse(build_page("runs", live=True, kind="run_list"))

    def index(request: Request) -> Response:
        found = runs.index(request.query_params.get("cursor", ""))
        return Response(status_code=204) if found is None else JSONResponse(found)

    def find(request: Request) -> Follower:
        try:
            return runs.open(request.path_params["run"])
        except SocietyError as error:
            raise HTTPException(404, f"{error}") from error

    return [Route("/", page), Route("/index", index), Mount("/runs/{run:int}", routes=_run_routes(find))]


def refuse(request: Request, token: str, host: str) -> int | None:
    """Return the status that refuses the request, or None for a request of the page itself."""
    if request.method != "GET":
        return 405
    if request.headers.get("host") != host or request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return 403
    given = request.url.path.removeprefix("/").split("/")[0]
    return None if secrets.compare_digest(given.encode(), token.encode()) else 404
