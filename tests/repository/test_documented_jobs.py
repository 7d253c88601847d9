# SPDX-License-Identifier: Apache-2.0
"""Every job in README and docs would be accepted, as far as it is shown."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from finetune_spec.pods import check_pods

ROOT = Path(__file__).parents[2]
SCHEMA = Draft202012Validator(
    json.loads((ROOT / "configs" / "schemas" / "finetunejob.schema.json").read_text())
)
NOT_OURS = {
    *("Application", "ConfigMap", "Deployment", "Kustomization", "LocalQueue", "NetworkPolicy"),
    "Role",
}
"""Third-party kinds in the docs."""


def _shown() -> Iterator[Any]:
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        blocks = re.findall(r"```ya?ml\n(.*?)```", file.read_text(), re.DOTALL)
        for number, block in enumerate(blocks):
            for document in yaml.safe_load_all(block):
                if "spec" in document and document.get("kind") not in NOT_OURS:
                    name = f"{file.relative_to(ROOT)}-{number}"
                    yield pytest.param(document, id=name)


@pytest.mark.parametrize("job", list(_shown()))
def test_a_job_in_the_docs_is_valid(job: dict[str, Any]) -> None:
    kind = job.get("kind", "FineTuneJob")
    spec = job["spec"]["jobTemplate"]["spec"] if kind == "FineTuneSchedule" else job["spec"]
    wrong = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in SCHEMA.iter_errors({"spec": spec})
        # Omitted parts are left to the reader.
        if error.validator != "required"
    ]

    assert wrong == []
    assert [problem.message for problem in check_pods(spec)] == []
