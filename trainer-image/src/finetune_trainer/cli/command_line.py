# SPDX-License-Identifier: Apache-2.0
"""`finetune`: a job file checked, or trained on this machine, without a cluster."""

import argparse
import json
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from finetune_contract import layout
from finetune_contract.outcome import Category, ExitCode, Outcome
from finetune_contract.reasons import Reason
from finetune_contract.run import Run
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.cli import download, job_file, overrides, plan, terminal, validate
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.failures.redaction import hide_in_output
from finetune_trainer.failures.stopping import StopRequest, end_process
from finetune_trainer.plan.node.gpu_probe import find_hardware
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter
from finetune_trainer.storage import locations
from finetune_trainer.supervision.context import AttemptContext

GRACE_SECONDS = 600.0
"""Nobody kills a run in a terminal: Ctrl-C may take as long as saving takes."""

DESCRIPTION = """\
Fine-tunes a language model from a FineTuneJob file: the file that `kubectl apply` takes.
"""

RUN_DESCRIPTION = """\
Trains the job on this machine, with the same code as in a cluster: fetch, check, train, verify,
publish. Run it again after Ctrl-C and it goes on from the last checkpoint; a run that is complete
is not trained again.

Places in object stores are read and written with the credentials of the environment, e.g.
AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.

exit codes: 0 done, 64 the job must be changed, 75 store or node failed, 77 out of GPU memory,
            143 stopped, 70 anything else
"""

NOT_INSTALLED = "`finetune run` wants what trains here: pip install './trainer-image[train]'"


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    return int(options.command(options))


def run(options: argparse.Namespace) -> int:
    """Train one job file here."""
    if find_spec("trl") is None:
        print(NOT_INSTALLED, file=sys.stderr)
        return int(ExitCode.USER)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s")
    stop = StopRequest()
    stop.listen()
    hardware = find_hardware(os.environ)
    try:
        settings = overrides.parse_overrides(options.settings)
        job = _read_job(options.job, options.output, settings)
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
    display = terminal.Display()
    context = AttemptContext(
        workspace=workspace,
        environment=os.environ,
        hardware=hardware,
        stop=stop,
        reporter=Reporter(
            workspace, display.show, terminal.INTERVAL_SECONDS, attempt=described.attempt
        ),
        grace_seconds=GRACE_SECONDS,
        rank_output=workspace.log,
        # Whoever has logged in to a hub or tracker here has a file at home that says so.
        has_whole_environment=False,
    )
    outcome = carry_out(described, context)
    display.close()
    if outcome.failure is not None:
        return _tell(outcome, _kept_log(outcome, workspace))
    samples = json.loads(workspace.samples.read_text()) if workspace.samples.is_file() else []
    report = locations.join(described.output_uri, described.run_id, layout.REPORT)
    print(terminal.summary(outcome, samples, report))
    return int(outcome.exit_code)


def _tell(outcome: Outcome, log: Path | None) -> int:
    print(terminal.failure_text(outcome, log), file=sys.stderr)
    return int(outcome.exit_code)


def _kept_log(outcome: Outcome, workspace: Workspace) -> Path | None:
    """The ranks' log where it helps: nobody needs one to correct a job of their own."""
    is_wanted = outcome.failure is not None and outcome.failure.category in (
        Category.INTERNAL,
        Category.INFRASTRUCTURE,
    )
    if not is_wanted or not workspace.log.is_file():
        return None
    kept = Path(tempfile.mkdtemp(prefix="finetune-log-")) / workspace.log.name
    shutil.copyfile(workspace.log, kept)
    return kept


def _read_job(
    path: Path, output: str | None, settings: Sequence[overrides.Override]
) -> job_file.Job:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise attempt_failed(
            Reason.INVALID_JOB, f"{path} cannot be read: {error.strerror}", "check the path"
        ) from None
    return job_file.parse_job(content, str(path), output=output, overrides=settings)


def _output_uri(output: str) -> str:
    if locations.scheme_of(output) is None:
        return Path(output).expanduser().absolute().as_uri()
    return output


def _announce(job: job_file.Job, described: Run) -> None:
    for line in job.warnings:
        print(line, file=sys.stderr)
    wanted = job.nodes * max(1, job.gpus_per_node)
    if wanted > described.world.size:
        print(
            f"{job.name} asks for {job.nodes} x {max(1, job.gpus_per_node)} processes; this machine"
            f" is one node and trains with {described.world.size}, so the effective batch is "
            f"{wanted // described.world.size} times smaller.",
            file=sys.stderr,
        )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="finetune", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="train a job file on this machine, without a cluster",
        description=RUN_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("job", type=Path, metavar="JOB.yaml", help="the FineTuneJob")
    command.add_argument(
        "--output", metavar="URI", help="write there instead of spec.output.uri; a folder will do"
    )
    command.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep model, data and logs there instead of in a temporary folder",
    )
    overrides.add_option(command)
    command.set_defaults(command=run)
    validate.add_parser(commands)
    plan.add_parser(commands)
    download.add_parser(commands)
    return parser


def console() -> NoReturn:
    """What `finetune` starts."""
    hide_in_output(os.environ)
    end_process(main())


if __name__ == "__main__":
    console()
