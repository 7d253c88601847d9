# SPDX-License-Identifier: Apache-2.0
"""The completion after `kubectl finetune`."""

from collections.abc import Sequence

import pytest

from finetune_cli.cluster import completion
from finetune_cli.cluster.kubectl import Kubectl
from finetune_cli.terminal.exits import Refused


class Jobs(Kubectl):
    """Responds like kubectl, for any cluster."""

    def __init__(self, where: Sequence[str]) -> None:
        self._where = " ".join(where)

    def run(self, *words: str) -> str:
        if self._where == "-n forbidden":
            raise Refused("you may not")
        names = ["red", "blue"] if self._where in ("-n team", "--namespace=team") else ["own"]
        return "".join(f"finetunejob.finetune.dev/{name}\n" for name in names)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["re"], ["results", "resume", ":4"]),
        (["run", ""], [":0"]),
        (["watch", ""], ["own", ":4"]),
        (["watch", "-n", "team", ""], ["red", "blue", ":4"]),
        (["-n", "team", "watch", "b"], ["blue", ":4"]),
        (["watch", "--namespace=team", "r"], ["red", ":4"]),
        (["watch", "-n", "forbidden", ""], [":4"]),
        (["plot", "own", "o"], ["own", ":4"]),
    ],
)
def test_commands_and_names_are_completed(words: list[str], told: list[str]) -> None:
    assert completion.complete(words, Jobs) == told
