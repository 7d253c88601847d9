# SPDX-License-Identifier: Apache-2.0
"""The trainer container's first process: reads the run document and writes an outcome.

python3 -m finetune_trainer.attempt.supervisor [--run FILE] [--work FOLDER] [--termination-log FILE]
"""

import argparse
import logging
import os
from pathlib import Path

from finetune_contract import mounts
from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import Failure, Outcome
from finetune_contract.reasons import Reason
from finetune_contract.run import Run, digest
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.failures.log_lines import set_up_log
from finetune_trainer.failures.redaction import hide_in_output
from finetune_trainer.failures.stopping import StopRequest, end_process
from finetune_trainer.plan.node.gpu_probe import find_hardware
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import (
    POST_INTERVAL_SECONDS,
    ProgressLog,
    Reporter,
    both,
    sink_from_environment,
)
from finetune_trainer.storage import variables
from finetune_trainer.supervision.context import START_SECONDS, AttemptContext

log = logging.getLogger(__name__)

DEFAULT_GRACE_SECONDS = 30.0
"""Kubernetes' own default, for a pod without a grace period."""


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    trimmed = variables.trim(os.environ)
    hide_in_output(os.environ)
    set_up_log(logging.INFO, "%(asctime)s %(levelname)s %(message)s")
    for name in trimmed:
        log.warning("variable trimmed name=%s: whitespace around its value was removed", name)
    stop = StopRequest()
    stop.listen()
    try:
        outcome = _supervise(options, stop)
    except BaseException as error:
        # Before the attempt: during it, `carry_out` handles errors.
        log.exception("the supervisor failed unexpectedly")
        outcome = Outcome(failure=classify(error, Stage.CHECKING))
    _leave(outcome, options.termination_log)
    return int(outcome.exit_code)


def _supervise(options: argparse.Namespace, stop: StopRequest) -> Outcome:
    try:
        document = options.run.read_bytes()
        if (failure := _find_mismatch(document, options.run)) is not None:
            return Outcome(failure=failure)
        run = Run.from_json(document)
        hide_in_output(os.environ, run.config)
        options.work.mkdir(parents=True, exist_ok=True)
    except (OSError, InvalidDocument) as error:
        return Outcome(
            failure=Reason.INVALID_RUN_DOCUMENT.failure(
                f"{options.run}: {error}",
                "check that operator and trainer image are from the same release",
            )
        )
    workspace = Workspace(root=options.work.absolute())
    context = AttemptContext(
        workspace=workspace,
        environment=os.environ,
        hardware=_look_for_hardware(),
        stop=stop,
        reporter=Reporter(
            workspace,
            both(ProgressLog().send, sink_from_environment(os.environ)),
            POST_INTERVAL_SECONDS,
            attempt=run.attempt,
        ),
        grace_seconds=float(os.environ.get(mounts.ENV_GRACE_SECONDS, DEFAULT_GRACE_SECONDS)),
        node=int(os.environ.get(mounts.ENV_NODE_RANK, "0")),
        start_seconds=float(os.environ.get(mounts.ENV_START_SECONDS, START_SECONDS)),
    )
    return carry_out(run, context)


def _find_mismatch(document: bytes, path: Path) -> Failure | None:
    """An attempt trains only for the spec its Job was made for: a ConfigMap may be an older one."""
    expected = os.environ.get(mounts.ENV_RUN_DIGEST)
    if not expected or digest(document) == expected:
        return None
    return Reason.RUN_DOCUMENT_MISMATCH.failure(
        f"{path} is not the run document of this attempt: its sha256 is {digest(document)}, "
        f"expected {expected}",
        "no action: another pod is created with its own run document",
    )


def _look_for_hardware() -> Hardware:
    hardware = find_hardware(os.environ)
    log.info("hardware cpus=%d gpus=%d %s", hardware.cpus, hardware.gpus, hardware.found)
    return hardware


def _leave(outcome: Outcome, termination_log: Path) -> None:
    text = outcome.to_json()
    log.info("outcome %s", text)
    try:
        termination_log.write_text(text)
    except OSError as error:
        log.warning("outcome not written path=%s error=%s", termination_log, error)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="finetune_trainer.attempt.supervisor", description="Carries out one attempt at a run."
    )
    parser.add_argument("--run", type=Path, default=Path(mounts.RUN_DOCUMENT))
    parser.add_argument("--work", type=Path, default=Path(mounts.WORK_FOLDER))
    parser.add_argument("--termination-log", type=Path, default=Path(mounts.TERMINATION_LOG))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    end_process(main())
