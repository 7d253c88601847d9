# SPDX-License-Identifier: Apache-2.0
"""`kubectl finetune` with a job whose texts all contain terminal escapes.

kubectl is a fake: a script that prints the output of a cluster and a pod.
"""

import fcntl
import json
import os
import struct
import sys
import termios
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.cluster import command_line, completion
from support.terminal_orders import ALL_ORDERS, ORDERS, orders_in

FORGED = "Succeeded after 9 steps."
WORDS = f"x{ALL_ORDERS}\n{FORGED}\n  artifact  s3://elsewhere"

HOSTILE: Mapping[str, Any] = {
    "apiVersion": "finetune.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "balloon", "uid": "1"},
    "spec": {"config": {WORDS: WORDS, "seed": 1}, "output": {"uri": WORDS}},
    "status": {
        "phase": "Failed",
        "runId": WORDS,
        "attempt": 2,
        "conditions": [{"type": "Ready", "status": "False", "message": WORDS}],
        "progress": {"step": 3, "totalSteps": 9, "percent": 30, "eta": WORDS},
        "lossHistory": [{"step": 1, "loss": 2.0}, {"step": 3, "loss": 1.0}],
        "attempts": [{"number": 1, "result": WORDS, "reason": WORDS, "name": "balloon-1"}],
        "failure": {"reason": WORDS, "message": WORDS, "remedy": WORDS},
        "answers": [{"prompt": WORDS, "before": WORDS, "after": WORDS}],
        "artifact": {"uri": WORDS, "digest": WORDS},
    },
}

KUBECTL = """\
#!/bin/sh
cd "$(dirname "$0")"
case "$*" in
  *"get pods"*) cat pods.json ;;
  *"get jobs.batch"*) cat batch.json ;;
  *"-o name"*) printf 'finetunejob.finetune.dev/'; cat words ;;
  *"get finetunejobs"*) cat job.json ;;
  *) cat words; cat words >&2; exit 3 ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Any]], None]:
    """Responds with this job, and with hostile messages."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    # It includes invalid UTF-8.
    (tmp_path / "words").write_bytes(WORDS.encode(errors="replace") + b"\xff\n")
    pod = {"metadata": {"name": "balloon-1-0"}, "status": {"phase": "Failed"}}
    (tmp_path / "pods.json").write_text(json.dumps({"items": [pod]}))
    mount = {"name": "work", "mountPath": "/work"}
    trainer = {"name": "trainer", "env": [], "volumeMounts": [mount]}
    template = {"spec": {"containers": [trainer], "volumes": [{"name": "work", "emptyDir": {}}]}}
    (tmp_path / "batch.json").write_text(json.dumps({"spec": {"template": template}}))
    monkeypatch.setenv("KUBECTL", str(program))
    monkeypatch.chdir(tmp_path)

    def answer(job: Mapping[str, Any]) -> None:
        (tmp_path / "job.json").write_text(json.dumps(job, indent=4))

    answer(HOSTILE)
    return answer


def printed_by(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> str:
    monkeypatch.setattr(sys, "argv", ["kubectl-finetune", *words])
    with pytest.raises(SystemExit):
        command_line.main()
    told = capsys.readouterr()
    return told.out + told.err


@pytest.mark.parametrize(
    "words",
    [
        ("results", "balloon"),
        ("watch", "balloon"),
        ("diff", "balloon", "balloon"),
        ("plot", "balloon"),
    ],
    ids=" ".join,
)
def test_no_text_of_a_job_emits_terminal_control_codes_or_imitates_our_output(
    kubectl: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    told = printed_by(words, capsys, monkeypatch)

    assert told.strip()
    assert orders_in(told) == []
    assert not [line for line in told.splitlines() if line.startswith(FORGED)]
    assert not [line for line in told.splitlines() if line.startswith("  artifact  s3://elsewhere")]


@pytest.mark.parametrize(
    "words",
    [
        ("logs", "balloon"),
        ("logs", "balloon", "--follow"),
        ("run", "job.yaml"),
        ("validate", "job.yaml"),
        ("stop", "balloon"),
        ("resume", "balloon"),
        ("results", "balloon", "--download", "here"),
        ("watch", "gone"),
    ],
    ids=" ".join,
)
def test_nothing_printed_by_kubectl_or_a_pod_emits_terminal_control_codes(
    kubectl: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    if "--download" in words:
        artifact = {"uri": "s3://models/balloon", "digest": WORDS}
        kubectl({**HOSTILE, "status": {**HOSTILE["status"], "artifact": artifact}})
    Path("job.yaml").write_text("kind: FineTuneJob\nmetadata: {name: balloon}\n")
    if words[0] == "watch":
        Path("job.json").unlink()
        Path("kubectl").write_text(KUBECTL.replace("cat job.json", "cat words >&2; exit 1"))

    told = printed_by(words, capsys, monkeypatch)

    assert FORGED in told
    assert orders_in(told, allowed="\n\t") == []


def test_an_address_that_does_not_fit_a_command_line_is_refused(
    kubectl: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = printed_by(("results", "balloon", "--download", "here"), capsys, monkeypatch)

    assert "the job contains a value that a command line cannot contain" in told
    assert orders_in(told) == []


def test_a_success_lists_one_artifact_even_with_a_hostile_address(
    kubectl: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kubectl({**HOSTILE, "status": {**HOSTILE["status"], "phase": "Succeeded"}})

    told = printed_by(("results", "balloon"), capsys, monkeypatch)

    assert orders_in(told) == []
    begins = [line.split()[0] for line in told.splitlines() if line.startswith("  a")]
    assert begins.count("artifact") == 1
    assert told.startswith("Succeeded after 3 steps.\n")


def test_completions_emit_no_terminal_control_codes(
    kubectl: Callable[[Mapping[str, Any]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-finetune", "watch", ""])

    completion.main()

    told = capsys.readouterr().out
    assert "x" in told
    assert orders_in(told, allowed="\n\t") == []


def read_all(terminal: int) -> str:
    """The output so far."""
    os.set_blocking(terminal, False)
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def test_a_progress_bar_contains_no_hostile_control_codes(
    kubectl: Callable[[Mapping[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_cli.cluster.watching import WatchDisplay

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    with os.fdopen(slave, "w") as terminal:
        display = WatchDisplay(terminal)
        display.show({**HOSTILE, "status": {**HOSTILE["status"], "phase": "Running"}})
        display.close()
        shown = read_all(master)

    assert "step 3/9" in shown
    for order in ORDERS.values():
        if orders_in(order, allowed="\n\r"):
            assert order not in shown
