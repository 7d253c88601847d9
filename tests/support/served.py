# SPDX-License-Identifier: Apache-2.0
"""A server on 127.0.0.1 that stands for the API server, in the test's own event loop."""

from collections.abc import Awaitable, Callable

from aiohttp import web


async def served(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    scene: Callable[[str], Awaitable[None]],
) -> None:
    """A server on 127.0.0.1 that stands for the API server."""
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        await scene(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
