# SPDX-License-Identifier: Apache-2.0
"""`python -m finetune_operator`: reads the settings, starts kopf."""

import asyncio
import logging
import os
import sys

from finetune_operator.kube.access import log_in
from finetune_operator.runtime.handlers import build_kopf_settings, build_registry
from finetune_operator.runtime.kopf_alone import kopf
from finetune_operator.runtime.replica import Replica
from finetune_operator.settings import Settings
from finetune_operator.telemetry.logs import say, say_error, set_up_logs

PATIENCE = 10
"""Seconds that kopf gets to end after our own tasks have ended."""


def main() -> int:
    try:
        settings = Settings.from_env()
    except ValueError as error:
        sys.stderr.write(f"finetune-operator: {error}\n")
        return 2
    set_up_logs(settings.log_level)
    # kopf names itself after the user, and a numeric uid without a passwd entry has no name.
    os.environ.setdefault("POD_ID", settings.identity)
    try:
        return asyncio.run(_operate(settings))
    except Exception as error:  # noqa: BLE001 - the process ends here with one line
        say_error("operator failed", error)
        return 1


async def _operate(settings: Settings) -> int:
    try:
        # Tried before kopf, which would log a traceback for it.
        await log_in(settings.kubeconfig)
    except ValueError as error:
        sys.stderr.write(f"finetune-operator: {error}\n")
        return 2
    replica = Replica(settings)
    last_resort = asyncio.create_task(_end_by_force(replica))
    await kopf.operator(
        registry=build_registry(replica, settings),
        settings=build_kopf_settings(),
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        stop_flag=replica.has_failed,
    )
    last_resort.cancel()
    return 1 if replica.has_failed.is_set() else 0


async def _end_by_force(replica: Replica) -> None:
    """Ends the process if a watch of kopf never returns.

    kopf can wait forever for a watch that is between two tries. Its own last resort is SIGKILL,
    which the first process of a container does not receive from itself.
    """
    await replica.has_stopped.wait()
    await asyncio.sleep(PATIENCE)
    reason = f"kopf did not end within {PATIENCE} s"
    say("operator ended by force", level=logging.ERROR, reason=reason)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
