# SPDX-License-Identifier: Apache-2.0
"""`finetune run`: trains a job file on this machine, without a cluster."""

import argparse
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from finetune_cli.files import job_file, overrides
from finetune_cli.local import run_texts
from finetune_cli.local.job_reading import read_job
from finetune_cli.terminal.exits import Refused
from finetune_cli.terminal.output import say, tell
from finetune_contract import layout
from finetune_contract.outcome import Category, Outcome
from finetune_contract.run import Run
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.log_lines import set_up_log
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.plan.node.gpu_probe import find_hardware
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter
from finetune_trainer.storage import locations
from finetune_trainer.supervision.context import AttemptContext

GRACE_SECONDS = 600.0
"""A run in a terminal is not killed: after Ctrl-C it may take as long as saving takes."""

DESCRIPTION = """\
Trains the job on this machine, with the same code as in a cluster: fetch, check, train, verify,
publish. Run it again after Ctrl-C to resume from the last checkpoint. A complete run is not trained
again.

Credentials for object stores are read from the environment, e.g.
AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

NOT_INSTALLED = "`finetune run` requires the training packages: pip install './command-line[train]'"


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", type=Path, metavar="JOB.yaml", help="the FineTuneJob")
    command.add_argument(
        "--output",
        metavar="URI",
        help="write results there instead of to spec.output.uri; can be a directory",
    )
    command.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep model, data and logs there instead of in a temporary directory",
    )
    overrides.add_option(command)


def run(options: argparse.Namespace) -> int:
    """Trains one job file here."""
    if find_spec("trl") is None:
        raise Refused(NOT_INSTALLED)
    set_up_log(logging.ERROR, "%(levelname)s %(message)s")
    stop = StopRequest()
    stop.listen()
    hardware = find_hardware(os.environ)
    try:
        job = read_job(options.job, options.settings, output=options.output)
        described = job_file.run_of(
            job,
            _output_uri(job.output_uri),
            processes=job_file.processes_here(job, hardware.gpus),
            gpus=min(job.gpus_per_node, hardware.gpus),
            port=_free_port(),
        )
    except AttemptFailed as error:
        return _tell(Outcome(failure=error.failure), None)
    _announce(job, described)
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
        return _train(described, Workspace(root=options.work.absolute()), hardware, stop)
    with tempfile.TemporaryDirectory(prefix="finetune-") as folder:
        return _train(described, Workspace(root=Path(folder)), hardware, stop)


def _train(described: Run, workspace: Workspace, hardware: Hardware, stop: StopRequest) -> int:
    display = run_texts.RunDisplay(sys.stderr)
    context = AttemptContext(
        workspace=workspace,
        environment=os.environ,
        hardware=hardware,
        stop=stop,
        reporter=Reporter(
            workspace, display.show, run_texts.INTERVAL_SECONDS, attempt=described.attempt
        ),
        grace_seconds=GRACE_SECONDS,
        rank_output=workspace.log,
        # Users who have logged in to a hub or tracker here have the credentials in their home
        # directory.
        has_whole_environment=False,
    )
    outcome = carry_out(described, context)
    display.close()
    if outcome.failure is not None:
        return _tell(outcome, _kept_log(outcome, workspace))
    samples = json.loads(workspace.samples.read_text()) if workspace.samples.is_file() else []
    report = locations.join(described.output_uri, described.run_id, layout.REPORT)
    say(run_texts.summary(outcome, samples, report))
    return int(outcome.exit_code)


def _tell(outcome: Outcome, log: Path | None) -> int:
    tell(run_texts.failure_text(outcome, log))
    return int(outcome.exit_code)


def _kept_log(outcome: Outcome, workspace: Workspace) -> Path | None:
    """The ranks' log if it helps: it is not needed to correct a user error."""
    is_wanted = outcome.failure is not None and outcome.failure.category in (
        Category.INTERNAL,
        Category.INFRASTRUCTURE,
    )
    if not is_wanted or not workspace.log.is_file():
        return None
    kept = Path(tempfile.mkdtemp(prefix="finetune-log-")) / workspace.log.name
    shutil.copyfile(workspace.log, kept)
    return kept


def _output_uri(output: str) -> str:
    if locations.scheme_of(output) is None:
        return Path(output).expanduser().absolute().as_uri()
    return output


def _announce(job: job_file.Job, described: Run) -> None:
    for line in job.warnings:
        tell(line)
    wanted = job.nodes * max(1, job.gpus_per_node)
    if wanted > described.world.size:
        tell(
            f"{job.name} requests {job.nodes} x {max(1, job.gpus_per_node)} processes; this "
            f"machine is one node and trains with {described.world.size}, so the effective batch "
            f"is {wanted // described.world.size} times smaller."
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
