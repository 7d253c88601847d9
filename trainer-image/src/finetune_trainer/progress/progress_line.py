# SPDX-License-Identifier: Apache-2.0
"""Progress as one line for people: in a terminal, and now and then in a pod's log. Pure."""

from collections.abc import Iterator

from finetune_contract.progress import Progress


def render_progress(progress: Progress) -> str:
    """`step 12/100 (12 %)  loss 1.234  1,200 tokens/s  ETA 3 min`."""
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


def render_duration(seconds: int) -> str:
    """In the two largest units that count: `45 s`, `3 min`, `2 h 5 min`, `1 d 4 h`."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"
