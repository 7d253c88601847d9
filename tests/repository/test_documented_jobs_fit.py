# SPDX-License-Identifier: Apache-2.0
"""Every job in README, docs and examples fits, by our own plan, the GPU that it names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_spec.config import Context, read_config
from finetune_spec.memory import estimate_memory, parse_model
from finetune_spec.quantities import render_bytes

ROOT = Path(__file__).parents[2]
PLACES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "configs" / "examples").glob("*.yaml")),
)

SMALLEST_GB = 16
"""The GPU memory for a job that does not name a GPU."""

_QWEN = {"model_type": "qwen2", "vocab_size": 152064, "tie_word_embeddings": False}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "SmolLM2-135M-Instruct": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "Qwen2.5-7B-Instruct": {
        **_QWEN,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "Qwen2.5-72B-Instruct": {
        **_QWEN,
        "hidden_size": 8192,
        "intermediate_size": 29568,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
    },
}
"""The numbers in their `config.json`."""


def jobs() -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """The name, spec and text of each job that requests GPUs and names a model."""
    for file in PLACES:
        text = file.read_text()
        is_page = file.suffix == ".md"
        blocks = re.findall(r"```ya?ml\n(.*?)```", text, re.DOTALL) if is_page else [text]
        for number, block in enumerate(blocks):
            for document in yaml.safe_load_all(block):
                spec = spec_of(document)
                if has_gpus(spec) and spec.get("config", {}).get("model_name_or_path"):
                    yield f"{file.relative_to(ROOT)}-{number}", spec, block


def spec_of(document: Any) -> Mapping[str, Any]:
    spec = document.get("spec") or {} if isinstance(document, dict) else {}
    found: Mapping[str, Any] = spec.get("jobTemplate", {}).get("spec", spec)
    return found


def has_gpus(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("resources", {}).get("gpusPerNode", 1))


def named_gigabytes(text: str) -> int:
    """From a product, a slice or a comment, such as `NVIDIA-H100-80GB-HBM3`: the smallest named."""
    return min(map(int, re.findall(r"(\d+) ?[Gg][Bb]\b", text)), default=SMALLEST_GB)


@pytest.mark.parametrize(
    ("spec", "text"), [pytest.param(spec, text, id=name) for name, spec, text in jobs()]
)
def test_a_job_in_the_docs_fits_its_gpu(spec: Mapping[str, Any], text: str) -> None:
    config = read_config(spec["config"])
    resources = spec.get("resources", {})
    gpus = resources.get("gpusPerNode", 1)
    context = Context(
        schema=config.schema,
        nodes=resources.get("nodes", 1),
        processes_per_node=gpus,
        gpus_per_node=gpus,
    )
    model = MODELS[str(config["model_name_or_path"]).rsplit("/", 1)[-1]]
    there = named_gigabytes(text) * 10**9

    needed = estimate_memory(config, parse_model(model), context).total

    assert needed <= there, f"{render_bytes(needed)} of {render_bytes(there)}"


def test_the_documented_jobs_request_more_than_one_kind_of_gpu() -> None:
    named = {named_gigabytes(text) for _, _, text in jobs()}

    assert {SMALLEST_GB, 80} <= named


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3", 80),
        ("gpuResource: nvidia.com/mig-1g.10gb", 10),
        ("gpusPerNode: 8 # of 80 GB", 80),
        ("gpusPerNode: 8", SMALLEST_GB),
    ],
)
def test_a_gpu_is_identified_by_its_product_its_slice_or_a_comment(
    text: str, expected: int
) -> None:
    assert named_gigabytes(text) == expected
