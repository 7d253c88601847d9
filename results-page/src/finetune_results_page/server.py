# SPDX-License-Identifier: Apache-2.0
"""The page's files, and three reads of the API server with the rights of whoever asks.

Whose bearer token a request carries is for the API server to find out, and what they may read too:
the request is passed on with it, and the answer passed back. Nothing is remembered in between.
"""

import re
import ssl
from collections.abc import AsyncIterator
from importlib import resources
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from finetune_results_page.logs import say
from finetune_results_page.settings import PageSettings

TIMEOUT = ClientTimeout(total=30)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""The columns of `kubectl get`: https://kubernetes.io/docs/reference/using-api/api-concepts/"""

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""Of namespaces and jobs; nothing else may become a part of a path."""

FILES: Final = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    **{
        name: (name, "text/javascript")
        for name in ("page.js", "reading.js", "elements.js", "curves.js", "job.js", "jobs.js")
    },
}
"""By path, with their content type."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: text of a job never becomes code, and no other site reads or frames it."""

JOBS = "/apis/finetune.dev/v1alpha1"

API: web.AppKey[ClientSession] = web.AppKey("api", ClientSession)
SERVER: web.AppKey[str] = web.AppKey("server", str)


def build_app(settings: PageSettings) -> web.Application:
    """
    Raises:
        OSError: there is no file of certificates to trust the API server by.
    """
    trusted = ssl.create_default_context(cafile=settings.ca_file)

    async def with_client(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(connector=TCPConnector(ssl=trusted), timeout=TIMEOUT) as session:
            app[API] = session
            yield

    app = web.Application()
    app[SERVER] = settings.api_server
    app.cleanup_ctx.append(with_client)
    app.on_response_prepare.append(_add_headers)
    for path in FILES:
        app.router.add_get(f"/{path}", _get_file)
    app.router.add_get("/healthz", _get_health)
    app.router.add_get("/api/jobs", _get_jobs)
    app.router.add_get("/api/namespaces/{namespace}/jobs", _get_jobs)
    app.router.add_get("/api/namespaces/{namespace}/jobs/{name}", _get_job)
    return app


async def _get_jobs(request: web.Request) -> web.Response:
    """A `meta.k8s.io/v1` Table, as `kubectl get` asks for it."""
    return await _pass_on(request, query="?includeObject=Metadata&resourceVersion=0", accept=TABLE)


async def _get_job(request: web.Request) -> web.Response:
    return await _pass_on(request, query="", accept="application/json")


async def _pass_on(request: web.Request, *, query: str, accept: str) -> web.Response:
    names = request.match_info
    if wrong := [name for name in names.values() if not NAME.fullmatch(name)]:
        return _refusal(400, f"{wrong[0]!r} is no name of a namespace or a job")
    if (authorization := request.headers.get("Authorization")) is None:
        return _refusal(401, "the request has no bearer token")
    path = _path_of(**names)
    headers = {"Accept": accept, "Authorization": authorization}
    try:
        async with request.app[API].get(
            f"{request.app[SERVER]}{path}{query}", headers=headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
    except (ClientError, TimeoutError) as error:
        say("API server not reached", error=repr(error))
        return _refusal(502, "the API server does not answer")
    return web.Response(status=answer.status, body=body, content_type="application/json")


def _path_of(namespace: str | None = None, name: str | None = None) -> str:
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{JOBS}{within}/finetunejobs" + (f"/{name}" if name else "")


async def _get_file(request: web.Request) -> web.Response:
    name, content_type = FILES[request.path.removeprefix("/")]
    file = resources.files("finetune_results_page") / "static" / name
    return web.Response(text=file.read_text(), content_type=content_type)


async def _get_health(request: web.Request) -> web.Response:
    return web.Response()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _refusal(status: int, message: str) -> web.Response:
    """In the shape of the API server's own."""
    return web.json_response({"kind": "Status", "message": message}, status=status)
