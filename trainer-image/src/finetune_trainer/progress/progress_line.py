# SPDX-License-Identifier: Apache-2.0
"""Progress as one line for people: in a terminal, and now and then in a pod's log. Pure."""

from collections.abc import Iterator

from finetune_contract.progress import Progress
from finetune_spec.quantities import render_duration


def render_progress(progress: Progress) -> str:
    """`step 12/100 (12 %)  loss 1.234  1,200 tokens/s  ETA 3m20s`."""
    step, total = progress.step or 0, progress.total_steps or 0
    return "  ".join(
        [f"step {step}/{total} ({progress.percent or 0} %)", *render_figures(progress)]
    )


def render_figures(progress: Progress) -> Iterator[str]:
    """What is known beside the step."""
    if progress.loss is not None:
        yield f"loss {progress.loss:.4g}"
    if progress.eval_loss is not None:
        yield f"eval loss {progress.eval_loss:.4g}"
    if progress.tokens_per_second is not None:
        yield f"{progress.tokens_per_second:,.0f} tokens/s"
    if progress.eta_seconds:
        yield f"ETA {render_duration(progress.eta_seconds)}"
