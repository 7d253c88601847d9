# SPDX-License-Identifier: Apache-2.0
"""The commands of `kubectl finetune`, and their help."""

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from finetune_cli.cluster import job_texts
from finetune_cli.cluster.kubectl import JOBS, Kubectl
from finetune_cli.local.command_line import start
from finetune_cli.terminal.commands import Deferred, new_parser
from finetune_cli.terminal.exits import EPILOG, NO_INPUT, Refused, exit_code_of
from finetune_cli.terminal.output import draw, say, show_unforeseen_errors_so

ClusterCommand = Callable[[Kubectl, argparse.Namespace], int]

DESCRIPTION = "Run, watch, plot, compare and stop FineTuneJobs."

PLAN = Deferred(
    name="plan",
    explanation="show what a file would do, and how much GPU memory it needs, without a cluster",
)


def main() -> None:
    """The entry point of `kubectl finetune`."""
    show_unforeseen_errors_so()
    words = sys.argv[1:]
    options = parser_of(words).parse_args(words)
    if options.command not in COMMANDS.values():
        # `plan` is a command of `finetune`.
        start(options.command, options)
    kubectl = Kubectl(_cluster_options(options))
    command = partial(options.command, kubectl, options)
    raise SystemExit(exit_code_of(command, left="detached: the job continues"))


def run(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """Applies a file, and watches its job to the end."""
    names = _jobs_in(options.file)
    # Without it kubectl drops null values.
    code = kubectl.pass_through("apply", "--server-side", "-f", str(options.file))
    if code or options.no_wait:
        return code
    return max((_watch(kubectl, name) for name in names), default=0)


def watch(kubectl: Kubectl, options: argparse.Namespace) -> int:
    return _watch(kubectl, options.name)


def logs(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """The log of the most informative pod."""
    job = kubectl.job(options.name)
    names = job_texts.batch_jobs(job)
    selector = f"batch.kubernetes.io/job-name in ({','.join(names)})"
    pods = kubectl.get("pods", "--selector", selector)["items"] if names else []
    pod = job_texts.pod_to_read(job, pods)
    if pod is None:
        raise Refused(f"{options.name} has no pods left: {job_texts.headline(job)}")
    follow = ("--follow",) if options.follow else ()
    return kubectl.pass_through("logs", pod, f"--tail={options.tail}", *follow)


def plot(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """Losses in the terminal."""
    # Imported late: plotext is large.
    from finetune_cli.cluster import curves

    size = shutil.get_terminal_size((curves.WIDTH, curves.HEIGHT))
    jobs = [kubectl.job(name) for name in options.names]
    try:
        height = max(10, min(size.lines - 2, 30))
        is_coloured = sys.stdout.isatty()
        picture = curves.draw(jobs, width=size.columns, height=height, is_coloured=is_coloured)
    except ValueError as error:
        raise Refused(str(error)) from None
    draw(f"{picture}\n", sys.stdout)
    return 0


def results(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """The result of a job: figures, artifact and answers, or the failure; and every attempt."""
    job = kubectl.job(options.name)
    over = job_texts.is_over(job)
    say(job_texts.ending(job) if over else job_texts.headline(job))
    for line in job_texts.answers(job):
        say(line)
    for line in job_texts.attempts(job):
        say(f"  attempt {line}")
    if options.download is not None:
        # Imported late: it is rarely used.
        from finetune_cli.cluster import downloading

        downloading.download(kubectl, job, options.download)
        say(f"  here      {options.download}")
    return job_texts.exit_code(job)


def validate(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """Validates against the cluster, without starting anything."""
    words = ("apply", "--server-side", "--dry-run=server", "-f", str(options.file))
    say(kubectl.run(*words), end="")
    return 0


def stop(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """Saves a checkpoint, and releases the GPUs."""
    return _suspend(kubectl, options.name, suspended=True)


def resume(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """Resumes from the checkpoint."""
    return _suspend(kubectl, options.name, suspended=False)


def diff(kubectl: Kubectl, options: argparse.Namespace) -> int:
    """Compares the specs and results of two jobs."""
    # Imported late: it needs YAML.
    from finetune_cli.cluster import comparison

    say(comparison.compare(kubectl.job(options.one), kubectl.job(options.other)))
    return 0


COMMANDS: Mapping[str, ClusterCommand] = {
    "run": run,
    "watch": watch,
    "logs": logs,
    "plot": plot,
    "results": results,
    "validate": validate,
    "stop": stop,
    "resume": resume,
    "diff": diff,
}


def _watch(kubectl: Kubectl, name: str) -> int:
    from finetune_cli.cluster import watching

    job = watching.watch(kubectl, name)
    say(job_texts.ending(job))
    return job_texts.exit_code(job)


def _suspend(kubectl: Kubectl, name: str, *, suspended: bool) -> int:
    patch = f'{{"spec":{{"suspend":{"true" if suspended else "false"}}}}}'
    return kubectl.pass_through("patch", JOBS, name, "--type=merge", "-p", patch)


def _jobs_in(file: Path) -> list[str]:
    """The names of the jobs in a file.

    Raises:
        Refused: it cannot be read, or has none.
    """
    # Imported late: it takes as long as all of `--help`.
    import yaml

    try:
        documents = list(yaml.safe_load_all(file.read_text()))
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}", NO_INPUT) from None
    except yaml.YAMLError as error:
        raise Refused(f"{file} is not YAML: {error}") from None
    names = [
        str(document.get("metadata", {}).get("name"))
        for document in documents
        if isinstance(document, dict) and document.get("kind") == "FineTuneJob"
    ]
    if not names:
        raise Refused(f"{file} has no FineTuneJob: use kubectl apply for everything else", NO_INPUT)
    return names


def _cluster_options(options: argparse.Namespace) -> list[str]:
    given = {name: getattr(options, name) for name in ("namespace", "context", "kubeconfig")}
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line of these words."""
    parser = new_parser("kubectl finetune", DESCRIPTION)
    cluster = argparse.ArgumentParser(add_help=False)
    cluster.add_argument(
        "-n", "--namespace", help="namespace of the job; defaults to that of the current context"
    )
    cluster.add_argument("--context", help="context of the kubeconfig; defaults to the current one")
    cluster.add_argument("--kubeconfig", help="kubeconfig file; defaults to KUBECONFIG")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, explanation: str, *arguments: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=explanation,
            description=explanation,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[cluster],
        )
        for argument in arguments:
            command.add_argument(argument, metavar=argument.upper())
        command.set_defaults(command=COMMANDS[name])
        return command

    for name, explanation in (
        ("run", "apply a file, and watch its job until it ends"),
        ("validate", "check a file with the API server, without starting anything"),
    ):
        add(name, explanation).add_argument("file", type=Path, metavar="JOB.yaml")
    PLAN.add_to(commands, words, parents=[cluster])
    commands.choices["run"].add_argument(
        "--no-wait", action="store_true", help="apply the file and exit, as kubectl apply does"
    )
    add("watch", "watch a job until it ends", "name")
    read = add("logs", "print the log of the rank that failed first, or of the first rank", "name")
    read.add_argument(
        "-f", "--follow", action="store_true", help="print new lines as they are written"
    )
    read.add_argument("--tail", type=int, default=-1, help="print only this number of last lines")
    add("plot", "plot the loss of one or several jobs in the terminal").add_argument(
        "names", nargs="+", metavar="NAME"
    )
    found = add("results", "show the results of a job, or why it failed", "name")
    found.add_argument(
        "--download",
        type=Path,
        metavar="FOLDER",
        help="download adapter and report, through a pod with the job's credentials",
    )
    add("stop", "save a checkpoint, and release the GPUs of a job", "name")
    add("resume", "resume a stopped job from its checkpoint", "name")
    add("diff", "compare the configs and results of two jobs", "one", "other")
    return parser


if __name__ == "__main__":
    main()
