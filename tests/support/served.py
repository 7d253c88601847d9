# SPDX-License-Identifier: Apache-2.0
"""A fake API server on 127.0.0.1, in the test's own event loop."""

import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from finetune_operator.kube.access import Access, Login


async def served(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    scene: Callable[[str], Awaitable[None]],
    certificate: ssl.SSLContext | None = None,
) -> None:
    """A fake API server on 127.0.0.1."""
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate)
        await site.start()
        scheme = "http" if certificate is None else "https"
        await scene(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def a_login(server: str) -> Login:
    """To this server, without authentication."""

    async def find_token() -> None:
        return None

    return Login(access=Access(server=server), find_token=find_token)
