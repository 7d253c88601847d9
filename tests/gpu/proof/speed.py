# SPDX-License-Identifier: Apache-2.0
"""Tokens per second of packed rows: this trainer's, and bare TRL's with the same arguments."""

import gc
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.roofline import Work, mfu, roofline
from finetune_spec.attention import SDPA, VARLEN
from gpu.proof import models
from gpu.proof.rows import Rows

PIECES = 4
"""Sequences in a row, of equal length."""
LORA_RANK = 16
_WORDS = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One measurement."""

    model: str
    rows: int
    goal: int | None = None
    """Tokens per second on an H100, from docs/contributing/benchmarks.md."""
    learns_all: bool = False
    recomputes: bool = True
    is_bare: bool = False
    """TRL's own trainer and its attention, instead of this product's."""
    dtype: str = "bfloat16"
    steps: int = 8
    row_tokens: int = 2048
    arguments: Mapping[str, Any] | None = None

    @property
    def work(self) -> Work:
        return Work(
            row_tokens=self.row_tokens // PIECES,
            learns_all=self.learns_all,
            recomputes=self.recomputes,
        )


SEVEN, HALF, SMALL = "Qwen2.5 7B", "Qwen2.5 0.5B", "SmolLM2 135M"
FUSED = {"optim": "adamw_torch_fused"}

SPEEDS: Sequence[Speed] = (
    Speed(model=SEVEN, rows=4, goal=8_000),
    Speed(model=SEVEN, rows=4, is_bare=True),
    Speed(model=SEVEN, rows=4, goal=11_000, recomputes=False),
    Speed(model=SMALL, rows=8, goal=150_000, learns_all=True, recomputes=False),
    Speed(model=SMALL, rows=8, learns_all=True, recomputes=False, is_bare=True),
    Speed(model=SEVEN, rows=2, goal=6_000, learns_all=True, steps=6, arguments=FUSED),
    Speed(model=HALF, rows=8, goal=70_000, learns_all=True),
    Speed(model=SEVEN, rows=4, dtype="float32", steps=6),
    Speed(
        model=SMALL,
        rows=8,
        learns_all=True,
        recomputes=False,
        arguments={"dataloader_num_workers": 2, "dataloader_persistent_workers": True},
    ),
)
"""By value: the goals, each followed by bare TRL if it must not be slower than that."""

TINY = (
    Speed(model=models.TINY, rows=2, steps=4, row_tokens=128),
    Speed(model=models.TINY, rows=2, steps=4, row_tokens=128, is_bare=True),
)


def measure(rows: Rows, speed: Speed, device: str, tokenizer: str) -> None:
    """One row: the rate of the later half of the steps, with goal and roofline."""
    rate, peak = _train(speed, device, tokenizer)
    model = models.architecture(speed.model)
    rows.add(
        "speed",
        model=speed.model,
        how="full" if speed.learns_all else "LoRA",
        recomputes=speed.recomputes,
        trainer="bare TRL" if speed.is_bare else "ours",
        dtype=speed.dtype if device == "cuda" else "float32",
        rows=speed.rows,
        row_tokens=speed.row_tokens,
        **speed.arguments or {},
        tokens_per_second=round(rate),
        goal=speed.goal,
        roofline_h100=round(roofline(model, speed.work)),
        mfu_of_h100=round(mfu(model, speed.work, rate), 3),
        peak_gib=peak,
    )


def _train(speed: Speed, device: str, tokenizer: str) -> tuple[float, float | None]:
    import torch

    is_gpu = device == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as place:
        trainer, ends = _trainer(speed, device, tokenizer, place)
        trainer.train()
    half = len(ends) // 2
    tokens = speed.rows * speed.row_tokens * (len(ends) - 1 - half)
    rate = tokens / (ends[-1] - ends[half])
    peak = round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_gpu else None
    del trainer
    gc.collect()
    if is_gpu:
        torch.cuda.empty_cache()
    return rate, peak


def _trainer(speed: Speed, device: str, tokenizer: str, place: str) -> tuple[Any, list[float]]:
    import torch
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from finetune_trainer.ranks.attention import varlen
    from finetune_trainer.ranks.attention.trainer import FlatTrainer

    ends: list[float] = []
    is_gpu = device == "cuda"

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if is_gpu:
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    varlen.register()
    attention = SDPA if speed.is_bare else VARLEN
    arguments = SFTConfig(
        output_dir=place,
        per_device_train_batch_size=speed.rows,
        max_steps=speed.steps,
        max_length=speed.row_tokens,
        packing=True,
        logging_steps=100,
        save_strategy="no",
        report_to="none",
        gradient_checkpointing=speed.recomputes,
        learning_rate=1e-5,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=not is_gpu,
        bf16=is_gpu,
        disable_tqdm=True,
        **speed.arguments or {},
    )
    lora = LoraConfig(r=LORA_RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    dtype = getattr(torch, speed.dtype) if is_gpu else torch.float32
    trainer = (SFTTrainer if speed.is_bare else FlatTrainer)(
        model=models.build(speed.model, device, attention, dtype),
        args=arguments,
        train_dataset=_packed(speed),
        processing_class=AutoTokenizer.from_pretrained(tokenizer),
        callbacks=[Clock()],
        peft_config=None if speed.learns_all else lora,
    )
    return trainer, ends


def _packed(speed: Speed) -> Any:
    import datasets
    import torch

    numbers = torch.Generator().manual_seed(0)

    def row() -> Mapping[str, Any]:
        tokens = torch.randint(3, _WORDS, (speed.row_tokens,), generator=numbers).tolist()
        lengths = [speed.row_tokens // PIECES] * PIECES
        return {"input_ids": tokens, "labels": tokens, "seq_lengths": lengths}

    return datasets.Dataset.from_list([row() for _ in range(speed.rows * speed.steps)])
