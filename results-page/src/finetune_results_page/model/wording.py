# SPDX-License-Identifier: Apache-2.0
"""Names and figures in words: of metrics, of models, of times."""

import re
from datetime import datetime
from typing import Final

from finetune_results_page.model.values import clean

_NAMES: Final = {
    "loss": "Loss",
    "evalLoss": "Evaluation: loss",
    "baseEvalLoss": "Evaluation: loss before training",
    "grad_norm": "Gradient norm",
    "eval_samples_per_second": "Evaluation: samples per second",
    "eval_steps_per_second": "Evaluation: steps per second",
    "eval_runtime": "Evaluation: duration in seconds",
    "eval_num_tokens": "Evaluation: number of tokens",
    "num_tokens": "Number of tokens",
}
"""Names that do not follow the rule of `metric_name`."""

_PARTS: Final = {"eval": "Evaluation", "train": "Training", "test": "Test", "base": "Base model"}
"""First words of a metric's name -> the data or the model that it is measured on."""

_SPELLINGS: Final = {
    **{word: word.upper() for word in ("bleu", "rouge", "gpu", "mse", "mae", "auc", "f1", "wer")},
    "acc": "accuracy",
    "avg": "average",
    "bertscore": "BERTScore",
    "em": "exact match",
    "grad": "gradient",
    "lr": "learning rate",
    "num": "number of",
    "ppl": "perplexity",
}

_STORED: Final = re.compile(
    r"adapters?|models?|merged|final|latest|best|snapshots|checkpoints?|main"
    r"|(?:step|checkpoint)-\d+|[0-9a-f]{8,64}"
)
"""Directories that describe how a model is stored, and not which model it is."""


def metric_name(name: str) -> str:
    """`eval_mean_token_accuracy` -> `Evaluation: mean token accuracy`."""
    if name in _NAMES:
        return _NAMES[name]
    text = " ".join(clean(name).split())
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", text).replace("_", " ").split()
    if " " in text or not words:
        # The name is already in words.
        return text
    part = _PARTS.get(words[0].lower()) if len(words) > 1 else None
    spelled = " ".join(_spelled(word) for word in (words[1:] if part else words))
    return f"{part}: {spelled}" if part else f"{spelled[:1].upper()}{spelled[1:]}"


def _spelled(word: str) -> str:
    if word.lower() in _SPELLINGS:
        return _SPELLINGS[word.lower()]
    # BLEU4 or mAP is a proper name, Accuracy is a word.
    return word.lower() if word.istitle() else word


def model_name(reference: str) -> str:
    """`s3://models/qwen/Qwen2.5-7B-Instruct/` -> `Qwen2.5-7B-Instruct`; a hub name is kept."""
    scheme, separator, path = reference.partition("://")
    is_location = bool(separator) or reference.startswith(("/", ".", "~"))
    if not is_location:
        return clean(reference)
    folders = [it for it in (path if separator else scheme).split("/") if it not in {"", ".", "~"}]
    telling = [it for it in folders if not _STORED.fullmatch(it)]
    return (
        clean((telling or folders or [reference])[-1]).removeprefix("models--").replace("--", "/")
    )


def figure(value: float | None) -> str:
    """Four significant digits; "" without a value."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e15:
        digits = f"{float(f'{value:.4g}'):.10f}".rstrip("0").rstrip(".")
        return _with_thousands(digits)
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e+")


def _with_thousands(digits: str) -> str:
    whole, point, rest = digits.partition(".")
    return f"{int(whole):,}{point}{rest}" if abs(int(whole)) >= 10_000 else digits


def count(number: int, thing: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def age(since: datetime | None, now: datetime) -> str:
    """`12 min`, `5 h`, `3 days`: the largest unit, rounded down."""
    if since is None:
        return ""
    minutes = max(0, int((now - since).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h"
    return f"{minutes // (24 * 60)} days"
