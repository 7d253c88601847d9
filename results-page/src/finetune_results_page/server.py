# SPDX-License-Identifier: Apache-2.0
"""The page and its files: each request is served by reads with its own token.

The API server decides whose bearer token it is, and what its user may read. Nothing is stored in
between.
"""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import resources
from string import Template
from typing import Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from finetune_results_page.model.history import curve_of
from finetune_results_page.model.query import JobName, Query, parse_query
from finetune_results_page.model.selection import select
from finetune_results_page.pages.comparison import Compared, show_comparison
from finetune_results_page.pages.frame import complete_page, refused, sign_in
from finetune_results_page.pages.job import show_job
from finetune_results_page.pages.job_list import Listed, show_list
from finetune_results_page.pages.parts import View
from finetune_results_page.reading import Reader, ReadRefused
from finetune_results_page.settings import PageSettings

TIMEOUT = ClientTimeout(total=30)

FILES: Final = {
    "page.css": "text/css",
    **dict.fromkeys(
        ("page.js", "answers.js", "press.js", "redraw.js", "sign-in.js", "token.js"),
        "text/javascript",
    ),
}
"""The files by path, with their content type."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Authorization",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response: texts never become code, and no other site reads or frames it."""

API: web.AppKey[ClientSession] = web.AppKey("api", ClientSession)
SERVER: web.AppKey[str] = web.AppKey("server", str)
FRAME: web.AppKey[Template] = web.AppKey("frame", Template)


def build_app(settings: PageSettings) -> web.Application:
    """
    Raises:
        OSError: the file with the API server's CA certificates is missing.
    """
    trusted = ssl.create_default_context(cafile=settings.ca_file)

    async def with_client(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(connector=TCPConnector(ssl=trusted), timeout=TIMEOUT) as session:
            app[API] = session
            yield

    app = web.Application()
    app[SERVER] = settings.api_server
    app[FRAME] = Template(_file("page.html"))
    app.cleanup_ctx.append(with_client)
    app.on_response_prepare.append(_add_headers)
    app.router.add_get("/", _get_page)
    for path in FILES:
        app.router.add_get(f"/{path}", _get_file)
    app.router.add_get("/healthz", _get_health)
    return app


async def _get_page(request: web.Request) -> web.Response:
    try:
        query = parse_query(request.query.items())
    except ValueError as error:
        return _page(request, Query(), refused(Query(), f"{error}"), 400)
    authorization = request.headers.get("Authorization")
    if authorization is None:
        return _page(request, query, sign_in())
    reader = Reader(
        session=request.app[API], server=request.app[SERVER], authorization=authorization
    )
    try:
        view = await _view(query, reader)
    except ReadRefused as refusal:
        return _page(request, query, refused(query, refusal.message), refusal.status)
    return _page(request, query, view)


async def _view(query: Query, reader: Reader) -> View:
    if query.is_comparison:
        answers = await reader.get_jobs(query.ticked)
        return show_comparison(
            Compared(
                query=query,
                jobs={key: it for key, it in answers.items() if not isinstance(it, ReadRefused)},
                refused={
                    key: it.message for key, it in answers.items() if isinstance(it, ReadRefused)
                },
            )
        )
    if query.namespace and query.name:
        key = JobName(namespace=query.namespace, name=query.name)
        return show_job(key, await reader.get_job(key))
    rows, is_cut = await reader.list_rows(query.namespace)
    selection = select(rows, query)
    details = await reader.get_jobs(row.key for row in selection.rows if row.has_curve)
    # Users who may list jobs but not get them see the list without curves.
    curves = {key: curve_of(it) for key, it in details.items() if not isinstance(it, ReadRefused)}
    now = datetime.now(UTC)
    return show_list(
        Listed(query=query, selection=selection, curves=curves, now=now, is_cut=is_cut)
    )


def _page(request: web.Request, query: Query, view: View, status: int = 200) -> web.Response:
    text = complete_page(request.app[FRAME], view, query)
    return web.Response(text=text, content_type="text/html", charset="utf-8", status=status)


async def _get_file(request: web.Request) -> web.Response:
    name = request.path.removeprefix("/")
    return web.Response(text=_file(name), content_type=FILES[name])


def _file(name: str) -> str:
    return (resources.files("finetune_results_page") / "static" / name).read_text()


async def _get_health(request: web.Request) -> web.Response:
    return web.Response()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
