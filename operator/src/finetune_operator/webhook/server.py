# SPDX-License-Identifier: Apache-2.0
"""The HTTPS endpoint for the API server's reviews of jobs and schedules; on every replica."""

import asyncio
import os
import ssl
from collections.abc import Mapping

from aiohttp import web

from finetune_contract.shallow import parse_json
from finetune_operator.inbound.bodies import Bodies, BodyGaveWay, BodyTooLarge
from finetune_operator.inbound.listening import Listener
from finetune_operator.job.cluster import FindModel, knows_no_model
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.settings import Settings
from finetune_operator.telemetry.logs import say, say_error
from finetune_operator.telemetry.metrics import count_review
from finetune_operator.webhook.certificates.x509 import KeyPair
from finetune_operator.webhook.review import (
    CHECKS,
    is_to_be_checked,
    job_in,
    let_through,
    parse_review,
    render_review,
    review,
)

PATH = "/validate-finetunejob"

MAX_BODY_BYTES = 8 * 2**20
"""A job before and after an update; the API server accepts up to 3 MiB for each."""
MAX_BODY_BYTES_TOGETHER = 4 * MAX_BODY_BYTES
"""The memory limit for all bodies together: any pod in the cluster can send them."""
LARGE_BODY_BYTES = 256 * 1024
"""Larger reviews are answered one after another: parsed, each may take a fifth of the memory."""
MOST_HOLDERS = 600_000
"""Objects and lists in a review: more than any stored object has. An empty one takes 3 bytes of a
body, and 90 when parsed.
"""
BODY_TIMEOUT_SECONDS = 3.0
"""The API server waits 5 s for the complete response."""


class WebhookServer:
    """Listens once it has a certificate."""

    def __init__(self, app: web.Application, address: str, port: int) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._listener = Listener(app, address, port, self._context, shutdown_seconds=2)
        self._shown: KeyPair | None = None
        self._is_listening = False

    @property
    def port(self) -> int:
        """The port in use, also when 0 (any port) was requested."""
        return self._listener.port

    async def show(self, keys: KeyPair) -> None:
        """Uses this certificate from the next connection on.

        Raises:
            ssl.SSLError: it is invalid, or of another key; the previous one stays in use.
        """
        if keys != self._shown:
            _load(keys, ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            _load(keys, self._context)
            self._shown = keys
        if not self._is_listening:
            await self._listener.start()
            self._is_listening = True
            say("webhook serves", port=self.port)

    async def stop(self) -> None:
        await self._listener.stop()


def build_webhook_app(
    settings: Settings, find_model: FindModel = knows_no_model
) -> web.Application:
    bodies = Bodies(
        most_bytes=MAX_BODY_BYTES,
        most_bytes_together=MAX_BODY_BYTES_TOGETHER,
        seconds=BODY_TIMEOUT_SECONDS,
    )

    large = asyncio.Lock()

    async def post_review(request: web.Request) -> web.Response:
        peer = request.remote or ""
        try:
            async with bodies.reading(peer, request.content.iter_any()) as body:
                _require_few_holders(body)
                if len(body) > LARGE_BODY_BYTES:
                    async with large:
                        # Everything else has its turn between two of them.
                        await asyncio.sleep(0)
                        # None waits for a hub.
                        return await _respond(parse_review(parse_json(body)), settings)
                asked = parse_review(parse_json(body))
        except BodyTooLarge as error:
            return web.Response(status=413, text=f"{error}\n")
        except BodyGaveWay as error:
            return web.Response(status=503, text=f"{error}\n")
        except (ValueError, TimeoutError) as error:
            return web.Response(status=400, text=f"{error}\n")
        return await _respond(asked, settings, find_model)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post(PATH, post_review)
    return app


def _require_few_holders(body: bytes) -> None:
    """
    Raises:
        BodyTooLarge: it would take too much memory when parsed.
    """
    if body.count(b"{") + body.count(b"[") > MOST_HOLDERS:
        raise BodyTooLarge(f"the body has more than {MOST_HOLDERS} objects and lists")


async def _respond(
    asked: Body, settings: Settings, find_model: FindModel = knows_no_model
) -> web.Response:
    return web.json_response(render_review(asked, await answer(asked, settings, find_model)))


async def answer(
    request: Body, settings: Settings, find_model: FindModel = knows_no_model
) -> Manifest:
    """The review; if that fails, the object is admitted: an error of ours must not block users."""
    job = f"{request.get('namespace')}/{request.get('name')}"
    kind = _known_kind(request)
    try:
        checked = job_in(request) if is_to_be_checked(request) else None
        model = None if checked is None else await find_model(checked)
        response = review(request, settings, model)
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator checks again
        say_error("job not reviewed", error, job=job)
        count_review(kind, "unchecked")
        return let_through()
    if not response["allowed"]:
        mistakes = response["status"]["details"]["causes"]
        say("job refused", job=job, mistakes=len(mistakes), dry_run=request.get("dryRun", False))
    count_review(kind, _verdict(response))
    return response


def _known_kind(request: Body) -> str:
    """Any pod in the cluster can send any kind: unknown ones get no series of their own."""
    kind = request.get("kind")
    name = kind.get("kind") if isinstance(kind, Mapping) else None
    return name if isinstance(name, str) and name in CHECKS else "other"


def _verdict(response: Body) -> str:
    if not response["allowed"]:
        return "refused"
    return "warned" if response.get("warnings") else "allowed"


def _load(keys: KeyPair, context: ssl.SSLContext) -> None:
    """Through an unnamed file in memory: `ssl` accepts files only, and no key must be written to
    disk.
    """
    with os.fdopen(os.memfd_create("webhook"), "wb") as file:
        file.write(keys.private_key + b"\n" + keys.certificates)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
