# SPDX-License-Identifier: Apache-2.0
"""Throughput of packed rows relative to padded rows, on one CPU, as ratios in one run.

    python tests/benchmarks/packing_throughput.py [ROUNDS]

The trainer that a rank builds trains SmolLM2's layers (4 of 30, random weights) on one thread: rows
padded; packed with the mask of all pairs of tokens, as in earlier versions; packed with attention
by borders. The three take turns, and CPU time is measured, so that other load of the machine
affects all equally. Padding tokens do not count. Prints the rows of
docs/contributing/benchmarks.md.
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

ROUNDS = 3
STEPS = 2
"""The first does not count."""
LENGTH = 256
WORDS = (8, 150)
"""Lengths of the shortest and the longest row; all lengths in between are equally frequent."""
PADDED, MASKED, BORDERS = "padded, sdpa", "packed, mask of all pairs", "packed, by borders"
CONFIG: Mapping[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 6,
    "max_length": LENGTH,
    "activation_checkpointing": False,
    "learning_rate": 1e-5,
    "save_strategy": "no",
    "logging_steps": 100,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}


def main(rounds: int) -> None:
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    rates: dict[str, list[float]] = {PADDED: [], MASKED: [], BORDERS: []}
    with tempfile.TemporaryDirectory() as folder:
        model, data = a_model(Path(folder) / "model"), rows(Path(folder) / "data")
        for number in range(rounds):
            for kind, found in rates.items():
                place = Path(folder) / f"{number}-{kind}"
                place.mkdir()
                found.append(tokens_per_cpu_second(kind, model, data, place))
            told = ", ".join(f"{kind} {found[-1]:.0f}" for kind, found in rates.items())
            print(f"tokens per CPU second: {told}", file=sys.stderr)
    for kind in (MASKED, BORDERS):
        ratios = [one / other for one, other in zip(rates[kind], rates[PADDED], strict=True)]
        each = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {kind} / {PADDED} | {each} | {statistics.median(ratios):.2f} |")


def a_model(place: Path) -> Path:
    """With SmolLM2's widths, so that attention has a realistic share of a layer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from testbed import base_model

    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.save_pretrained(place)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=4,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    ).save_pretrained(place)
    return place


def rows(place: Path) -> Path:
    place.mkdir()
    drawn = random.Random(0)  # noqa: S311 - lengths, and the same ones each time
    texts = [{"text": "sail " * drawn.randint(*WORDS)} for _ in range(160)]
    (place / "train.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    return place


def tokens_per_cpu_second(kind: str, model: Path, data: Path, place: Path) -> float:
    """The throughput of one training, after its first step."""
    from transformers import TrainerCallback

    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.building import build_trainer
    from finetune_trainer.ranks.data.loading import load_data

    class Clock(TrainerCallback):  # type: ignore[misc] # transformers has no types for it
        def __init__(self) -> None:
            self.at: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.at.append(time.process_time())

    config = {
        "model_name_or_path": str(model),
        "dataset_name": str(data),
        "output_dir": str(place / "out"),
        "packing": kind != PADDED,
        **CONFIG,
    }
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    arguments = read_arguments(place / "config.yaml")
    with masking(everything=kind == MASKED):
        trainer = build_trainer(arguments, load_data(arguments).dataset)
    trainer.add_callback(clock := Clock())
    counted = counting(trainer)
    trainer.train()
    return sum(counted[1:STEPS]) / (clock.at[-1] - clock.at[0])


@contextmanager
def masking(*, everything: bool) -> Iterator[None]:
    """The former behaviour: the model keeps sdpa, and gets a mask."""
    from finetune_spec.attention import SDPA, as_named
    from finetune_trainer.ranks.attention import choice

    if not everything:
        yield
        return
    with mock.patch.object(choice, "choose", return_value=as_named(SDPA)):
        yield


def counting(trainer: Any) -> list[int]:
    """The tokens of each step's batch, without padding."""
    counted: list[int] = []
    compute: Callable[..., Any] = trainer.compute_loss

    def compute_loss(model: Any, inputs: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
        seen = inputs["attention_mask"] if "attention_mask" in inputs else inputs["input_ids"] >= 0
        counted.append(int(seen.sum()))
        return compute(model, inputs, *rest, **named)

    trainer.compute_loss = compute_loss
    return counted


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
