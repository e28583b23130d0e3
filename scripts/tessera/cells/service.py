"""The read-only HTTP service: JSON of what is published, and the page that shows it.

Every answer is about one version, resolved once per request, and says which. It carries it as an
``ETag`` too, so that who asks again with ``If-None-Match`` gets 304 until another version is
published.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tessera.cells import answers
from tessera.cells.queries import Query, Unavailable, Unknown
from tessera.cells.reading import Cells, Snapshot
from tessera.cells.store import Store, open_store, unknown_dataset
from tessera.errors import InputError, Problem

PAGE = Path(__file__).parent / "web"
FORM = 1
"""Number of the form of the answers; a part of every ETag, since a new form is a new answer."""

_SECURITY = {
    # Scripts and requests: from this server only, none in the page's text. Plotly styles what it
    # draws by attributes, and hands its picture of a chart over as a blob.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' "
        "'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # ask each time, so that nobody sees an old page
}
_HEADERS = [(name.encode(), value.encode()) for name, value in _SECURITY.items()]

_ROUTES: dict[str, answers.Work] = {
    "info": answers.info,
    "genes": answers.genes,
    "gene/{gene:path}": answers.gene,
    "expression/{gene:path}": answers.expression,
    "violin/{gene:path}": answers.violin,
    "top": answers.top,
    "heatmap": answers.heatmap,
    "umap": answers.umap,
    "sql": answers.sql,
}


def application(location: str | Path, host: str = "127.0.0.1") -> ASGIApp:
    """Make the service.

    Parameters
    ----------
    location
        The store (`tessera.cells.store.open_store`).
    host
        Where it will listen. Requests to a server of another name are refused, so that no web
        site can reach it through a name of its own (DNS rebinding); a service that listens on
        every address cannot know its names.
    """
    library = _Library(location)
    routes = [
        Route("/", _page),
        Route("/api/datasets", library.datasets),
        *(Route(f"/api/{{dataset}}/{path}", library.route(path)) for path in _ROUTES),
        Route("/static/plotly.min.js", _plotly),
        Mount("/static", StaticFiles(directory=PAGE)),
    ]
    faults: Mapping[Any, Any] = {
        HTTPException: _refuse, Unknown: _unknown, Unavailable: _busy, InputError: _damaged,
        Exception: _fault,
    }  # fmt: skip
    starlette = Starlette(routes=routes, exception_handlers=faults)
    starlette.router.redirect_slashes = False
    named = TrustedHostMiddleware(starlette, allowed_hosts=_names(host), www_redirect=False)
    return _Secured(named)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a service that listens on this host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(location: str | Path, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Run the service until it is stopped by Ctrl-C or a signal.

    Parameters
    ----------
    location, host
        As for `application`.
    port
        0 takes any that is free.
    ready
        Is told the address once the port is taken.

    Raises
    ------
    InputError
        If the store is of no known kind, or the address cannot be taken.
    """
    import uvicorn

    app = application(location, host)
    with listen(host, port) as listening:
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listening.getsockname()[1]}/")
        settings = uvicorn.Config(
            app, log_level="warning", server_header=False, timeout_graceful_shutdown=3
        )
        uvicorn.Server(settings).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises
    ------
    InputError
        If that cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where a socket says that it is TCP, and with it on
    # each answer, which goes out in two pieces, waits 40 ms for the other side.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        what = f"{host} port {port} cannot be taken: {error.strerror}"
        raise InputError(Problem("serve", "", what, "choose another --port or --host")) from None
    return listening


def _names(host: str) -> list[str]:
    if host in ("0.0.0.0", "::"):
        return ["*"]
    own = f"[{host}]" if ":" in host else host
    return list(dict.fromkeys([own, "localhost", "127.0.0.1", "[::1]"]))


class _Library:
    """The datasets of a store, each opened once."""

    def __init__(self, location: str | Path) -> None:
        self._location = location
        self._store = open_store(location)
        self._open: dict[str, Cells] = {}
        self._lock = threading.Lock()

    def _cells(self, dataset: str) -> Cells:
        with self._lock:
            if dataset not in self._open:
                if dataset not in self._store.datasets():
                    raise Unknown(_nowhere(unknown_dataset(self._store, dataset)))
                self._open[dataset] = Cells(self._location, dataset)
            return self._open[dataset]

    def datasets(self, request: Request) -> Response:
        """Answer which datasets there are."""
        query = Query({}, request.query_params)
        try:
            query.done()
        except InputError as error:
            return _told(400, error)
        found = []
        for name in self._store.datasets():
            about = functools.partial(_versioned, answers.entry, self._cells(name).store, query)
            found.append(self._cells(name).ask(about))
        return _json({"datasets": found})

    def route(self, path: str) -> Callable[[Request], Response]:
        """Return what answers a request about one dataset."""
        work = _ROUTES[path]

        def answer(request: Request) -> Response:
            query = Query(request.path_params, request.query_params)
            known = _etags(request)
            cells = self._cells(request.path_params["dataset"])
            return cells.ask(functools.partial(_respond, work, cells.store, query, known))

        return answer


def _versioned(
    work: answers.Work, store: Store, query: Query, snapshot: Snapshot
) -> dict[str, Any]:
    return {"version": snapshot.version, **work(store, snapshot, query)}


def _respond(
    work: answers.Work, store: Store, query: Query, known: list[str], snapshot: Snapshot
) -> Response:
    headers = {"cache-control": "no-cache"}
    if work is not answers.sql:  # a query may ask for the time, or for random numbers
        headers["etag"] = f'"{snapshot.version}-{FORM}"'
        if headers["etag"] in known:
            return Response(status_code=304, headers=headers)
    try:
        return _json(_versioned(work, store, query, snapshot), headers=headers)
    except InputError as error:
        return _told(400, error)


def _nowhere(error: InputError) -> InputError:
    """Leave out where the store is, which is nothing to tell on the network."""
    return InputError([dataclasses.replace(problem, file="store") for problem in error.problems])


def _etags(request: Request) -> list[str]:
    given = request.headers.get("if-none-match", "")
    return [tag.strip().removeprefix("W/") for tag in given.split(",")]


def _json(
    content: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    # A query in SQL may give dates and other things that JSON has no form for.
    text = json.dumps(
        content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
    )
    return Response(text.encode(), status, headers, "application/json")


def _told(status: int, error: InputError) -> Response:
    problems = [problem.as_dict() for problem in error.problems]
    return _json({"error": str(error), "problems": problems}, status)


def _page(request: Request) -> Response:
    return FileResponse(PAGE / "index.html")


def _plotly(request: Request) -> Response:
    spec = importlib.util.find_spec("plotly")  # importing it would take a second
    if spec is None or not spec.submodule_search_locations:
        raise HTTPException(404)
    return FileResponse(Path(spec.submodule_search_locations[0], "package_data", "plotly.min.js"))


def _refuse(request: Request, error: HTTPException) -> Response:
    words = {
        404: "There is nothing at this address.",
        405: "This service only reads: the method must be GET.",
    }
    return _json({"error": words.get(error.status_code, error.detail)}, error.status_code,
                 error.headers)  # fmt: skip


def _unknown(request: Request, error: Unknown) -> Response:
    return _told(404, error.error)


def _busy(request: Request, error: Unavailable) -> Response:
    return _json({"error": str(error)}, 503)


def _damaged(request: Request, error: InputError) -> Response:
    """Answer when it is not the request that is at fault but what is published."""
    return _told(503, _nowhere(error))


def _fault(request: Request, error: Exception) -> Response:
    """Answer when the service is at fault; Starlette raises the error again, into the log."""
    return _json({"error": "The service met a fault of its own; its log tells more."}, 500)


class _Secured:
    """Adds the headers that keep a browser from doing more than the page is meant to do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                given = {name for name, _ in headers}
                headers += [pair for pair in _HEADERS if pair[0] not in given]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, sent)
