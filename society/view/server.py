"""The server of the live view: on loopback, for clients that know the token in its address.

Pages of other sites have no access: `Host` must be this server's own (against DNS rebinding), so must a given
`Origin`, and the path must start with a random token. All is read-only, except that the page of a person who is asked
sends what was typed. Such a page has a token of its own, which opens no other page.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from society.core.errors import InputError, MissingExtraError, SocietyError
from society.report.page import KINDS, build_page
from society.runs.places import is_run
from society.view.follow import Follower
from society.view.runs_folder import RunsFolder

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from society.view.people import PageAsker

LOOPBACK = "127.0.0.1"
LONGEST_ENTRY = 10_000_000
"""Maximum length of a sent entry, in bytes."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response."""


def serve(
    folder: Path,
    port: int,
    ready: Callable[[str], None],
    started: Callable[[uvicorn.Server], None] | None = None,
    people: PageAsker | None = None,
) -> None:
    """Serve the page of a run, or the list of the runs in a folder, until interrupted; also the pages of `people`.

    `ready` is called with the page's address, after `people.ready` was called with theirs; port 0 takes any free port.
    Raises `InputError` for a folder without a run or a port in use, and `MissingExtraError` without uvicorn. `started`
    receives the server, whose `should_exit` ends it from another thread.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("society view", "uvicorn", "view") from error
    source = Follower(folder) if is_run(folder) else RunsFolder(folder)
    with _listen(port) as listener:
        host = f"{LOOPBACK}:{listener.getsockname()[1]}"
        token = secrets.token_urlsafe(24)
        app = build_app(source, token, host, people)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        if started is not None:
            started(server)
        if people is not None:
            people.ready({person: f"http://{host}/{token}/" for person, token in people.tokens.items()})
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


def build_app(source: Follower | RunsFolder, token: str, host: str, people: PageAsker | None = None) -> Starlette:
    """Return the application of a run, or of a folder with runs, and of `people`. `host` is "address:port"."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import Response
    from starlette.routing import Mount

    tokens = {} if people is None else people.tokens

    async def guard(request: Request, respond: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = refuse(request, (token, *tokens.values()), host)
        response = await respond(request) if refused is None else Response(status_code=refused)
        response.headers.update(HEADERS)
        return response

    routes = _list_routes(source) if isinstance(source, RunsFolder) else _run_routes(lambda request: source)
    own = [Mount(f"/{secret}", routes=_person_routes(people, who)) for who, secret in tokens.items() if people]
    return Starlette(
        routes=[*own, Mount(f"/{token}", routes=routes)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)]
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


def _person_routes(people: PageAsker, person: str) -> list[BaseRoute]:
    """Return the routes of a person's page: the page, the open question, and the entries that are sent."""
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    def page(request: Request) -> Response:
        return HTMLResponse(build_page(person, live=True, kind="person"))

    def question(request: Request) -> Response:
        return JSONResponse(people.describe(person))

    async def entry(request: Request) -> Response:
        if (status := refuse_entry(request)) is not None:
            return Response(status_code=status)
        try:
            sent = json.loads(await request.body())
            number, text = sent["number"], sent["text"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return Response(status_code=400)
        if type(number) is not int or not isinstance(text, str):
            return Response(status_code=400)
        return Response(status_code=204 if people.send(person, number, text) else 409)

    return [Route("/", page), Route("/question", question), Route("/entry", entry, methods=["POST"])]


def refuse_entry(request: Request) -> int | None:
    """Return the status that refuses a sent entry, or None for one that the person's own page sends.

    A browser tells the origin of each such request, and another site cannot send JSON without being asked first.
    """
    if "origin" not in request.headers or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return 403
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return 415
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return 411
    return 413 if len(length) > len(f"{LONGEST_ENTRY}") or int(length) > LONGEST_ENTRY else None


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


def refuse(request: Request, tokens: Sequence[str], host: str) -> int | None:
    """Return the status that refuses the request, or None for a request of a page itself.

    The first token is that of the run, and the others are those of people. Only their pages send anything.
    """
    given = request.url.path.removeprefix("/").split("/")[0].encode()
    known = [secrets.compare_digest(given, token.encode()) for token in tokens]
    if request.method != "GET" and not (request.method == "POST" and any(known[1:])):
        return 405
    if request.headers.get("host") != host or request.headers.get("origin", f"http://{host}") != f"http://{host}":
        return 403
    return None if any(known) else 404
