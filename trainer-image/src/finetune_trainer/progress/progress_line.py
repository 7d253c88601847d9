# SPDX-License-Identifier: Apache-2.0
"""Progress as one line for people: in a terminal, and at intervals in a pod's log. Pure."""

from collections.abc import Iterator

from finetune_contract.progress import Progress
from finetune_spec.quantities import render_duration


def render_progress(progress: Progress) -> str:
    """`step 12/100 (12 %)  loss 1.234  1,200 tokens/s  ETA 3m20s`."""
    steps = render_steps(progress.step or 0, progress.total_steps or 0, progress.percent or 0)
    return "  ".join([steps, *render_figures(progress)])


def render_steps(step: int, total: int, percent: int) -> str:
    """`step 12/100 (12 %)`."""
    return f"step {step}/{total} ({percent} %)"


def render_figures(progress: Progress) -> Iterator[str]:
    """The known figures other than the step."""
    return render_known(
        loss=progress.loss,
        eval_loss=progress.eval_loss,
        tokens_per_second=progress.tokens_per_second,
        eta=render_duration(progress.eta_seconds) if progress.eta_seconds else "",
    )


def render_known(
    *,
    loss: float | None = None,
    eval_loss: float | None = None,
    tokens_per_second: float | None = None,
    eta: str = "",
) -> Iterator[str]:
    """The same for a job's status, whose remaining time is a text."""
    if loss is not None:
        yield f"loss {loss:.4g}"
    if eval_loss is not None:
        yield f"eval loss {eval_loss:.4g}"
    if tokens_per_second is not None:
        yield f"{tokens_per_second:,.0f} tokens/s"
    if eta:
        yield f"ETA {eta}"
