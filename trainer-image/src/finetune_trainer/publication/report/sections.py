# SPDX-License-Identifier: Apache-2.0
"""The parts of the report, each a function from the story to HTML; empty where there is nothing.

Pure.
"""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from finetune_spec.quantities import render_bytes, render_duration
from finetune_trainer.exchange.data_account import SplitAccount
from finetune_trainer.exchange.history import losses_of
from finetune_trainer.publication.report import tables
from finetune_trainer.publication.report.charts import NARROW, draw, histogram
from finetune_trainer.publication.report.story import Story, config_text

BASE_LOSS, EVAL_LOSS = "base_eval_loss", "eval_loss"


def summary(story: Story) -> str:
    """What most readers came for."""
    figures, rate = story.figures, story.mean_tokens_per_second
    tiles = [
        _tile("Loss", _change(figures.get("first_loss"), figures.get("loss"))),
        _tile(
            "Eval loss", _change(figures.get(BASE_LOSS), figures.get(EVAL_LOSS)), "base to tuned"
        ),
        _tile("Steps", tables.count(story.step), _attempt(story)),
        _tile("Tokens/s", None if rate is None else tables.count(rate), "mean of the run"),
        _tile("Training", _known(render_duration, story.around.phase_seconds.get("Training"))),
    ]
    about = (
        f"<p class='soft'><code>{escape(story.base_model)}</code> tuned on "
        f"{', '.join(f'<code>{escape(name)}</code>' for name in story.data_sets) or 'a mixture'}"
        f" &middot; {'adapter' if story.is_adapter else 'full weights'}"
        f"{' and merged model' if story.is_merged else ''} &middot; run "
        f"<code>{escape(story.run.run_id)}</code></p>"
    )
    note = f"<p>{escape(story.note)}</p>" if story.note else ""
    tiled = f"<dl class='tiles'>{''.join(tiles)}</dl>"
    return f"<h1>{escape(story.run.job.name)}</h1>{about}{note}{tiled}"


def loss_curve(story: Story) -> str:
    """Loss and eval loss in one picture."""
    base = story.figures.get(BASE_LOSS)
    curves = {
        "loss": losses_of(story.history, "loss"),
        "eval loss": losses_of(story.history, EVAL_LOSS),
    }
    level = None if base is None else ("eval loss of the base model", base)
    return draw(curves, f"Loss of {story.run.job.name}", level=level)


def curves(story: Story) -> str:
    """Loss large, what explains it below."""
    small = {
        "Learning rate": {"learning rate": losses_of(story.history, "learning_rate")},
        "Gradient norm": {"gradient norm": losses_of(story.history, "grad_norm")},
        "Token accuracy": {
            "training": losses_of(story.history, "mean_token_accuracy"),
            "evaluation": losses_of(story.history, "eval_mean_token_accuracy"),
        },
        "Entropy": {
            "training": losses_of(story.history, "entropy"),
            "evaluation": losses_of(story.history, "eval_entropy"),
        },
    }
    figures = "".join(
        _figure(title, draw(lines, title, width=NARROW))
        for title, lines in small.items()
        if any(lines.values())
    )
    loss = _figure("Loss", loss_curve(story))
    return f"<h2>Curves</h2>{loss}<div class='charts'>{figures}</div>"


def data(story: Story) -> str:
    """What became of the rows."""
    if story.account is None:
        return ""
    splits = story.account.splits
    rows = [_split_row(name, split) for name, split in splits.items()]
    headers = ("Split", "Read", "Left out", "Cut", "Tokens", "Counting for loss", "Packs")
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in story.account.warnings)
    return (
        "<h2>Data</h2>"
        + tables.table(headers, rows, ("", *("number",) * (len(headers) - 1)))
        + "".join(_dropped(name, split) for name, split in splits.items())
        + (f"<h3>Worth knowing</h3><ul>{warnings}</ul>" if warnings else "")
        + "".join(_lengths(name, split, story.max_length) for name, split in splits.items())
    )


def answers(story: Story) -> str:
    """Held-out prompts, answered before and after training."""
    if not story.samples:
        return ""
    columns = ("prompt", "before", "after", "expected")
    rows = [[sample.get(column) or "" for column in columns] for sample in story.samples]
    headers = ("Prompt", "Before training", "After training", "Expected")
    return "<h2>Answers to held-out prompts</h2>" + tables.table(headers, rows, ("text",) * 4)


def course(story: Story) -> str:
    """How the attempt went that finished the run."""
    around = story.around
    rate = story.mean_tokens_per_second
    rows: dict[str, object] = {
        "Processes": f"{story.world_size} ({story.strategy})",
        "Nodes": story.run.world.nodes,
        "Hardware": around.hardware or None,
        "Attempt": _attempt(story),
        "Adjusted after a failure": _adjustments(story.run.adjustments),
        "Throughput": None if rate is None else f"{tables.count(rate)} tokens per second",
        "GPU memory estimated": _known(render_bytes, around.estimated_memory_bytes),
        "GPU memory at its peak": _known(render_bytes, around.peak_memory_bytes),
    }
    phases = {
        f"Time for {phase.lower()}": render_duration(seconds)
        for phase, seconds in around.phase_seconds.items()
    }
    figures = {name: f"{value:.6g}" for name, value in story.figures.items()}
    return (
        f"<h2>Course</h2>{tables.facts({**rows, **phases})}"
        f"<h3>Final figures</h3>{tables.facts(figures)}"
    )


def config(story: Story) -> str:
    """What the user wrote, and what the trainer made of it."""
    resolved = story.around.resolved_config
    return f"<h2>Config</h2><pre tabindex='0'>{escape(config_text(story.config))}</pre>" + (
        "<details><summary>As the trainer got it</summary>"
        f"<pre tabindex='0'>{escape(config_text(resolved))}</pre></details>"
        if resolved
        else ""
    )


def origins(story: Story) -> str:
    """Versions, and what exactly went in."""
    digests = story.around.digests
    rows = [
        (str(entry.get("name", "")), where, digest)
        for entry in (digests.get("model"), *digests.get("data", ()))
        if isinstance(entry, Mapping)
        for where, digest in _digests_of(entry)
    ]
    table = tables.table(("Of", "File", "Digest"), rows, ("", "", "digest")) if rows else ""
    licence = story.around.licence or "unknown: the base model's folder does not say"
    return (
        f"<h2>Versions and origins</h2>{tables.facts({**story.versions})}"
        f"<h3>Licence of the base model</h3><p>{escape(licence)}</p>"
        + (f"<details><summary>Digests of what went in</summary>{table}</details>" if rows else "")
    )


def _digests_of(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    if revision := entry.get("revision"):
        return [("revision on the hub", str(revision))]
    return [(path, str(digest)) for path, digest in (entry.get("files") or {}).items()]


def _tile(name: str, value: str | None, small: str = "") -> str:
    if value is None:
        return ""
    note = f"<small>{escape(small)}</small>" if small else ""
    return f"<div><dt>{escape(name)}</dt><dd>{value}{note}</dd></div>"


def _change(before: float | None, after: float | None) -> str | None:
    """From one figure to another, and in words for which of them is better."""
    if after is None:
        return None
    if before is None:
        return f"{after:.4g}"
    kind = "good" if after <= before else "bad"
    return f"{before:.4g} &rarr; <span class='{kind}'>{after:.4g}</span>"


def _attempt(story: Story) -> str:
    resumed = story.around.resumed_from_step
    suffix = f", went on from step {resumed}" if resumed else ""
    return f"attempt {story.run.attempt}{suffix}"


def _adjustments(adjustments: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{key}: {value}" for key, value in adjustments.items()) or None


def _known(render: Callable[[Any], str], value: Any) -> str | None:
    return None if value is None else render(value)


def _figure(title: str, picture: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{picture}</figure>"


def _split_row(name: str, split: SplitAccount) -> tuple[str, ...]:
    packs = split.packing
    return (
        f"{name} ({split.note})" if split.note else name,
        tables.count(split.rows),
        tables.count(split.rows_dropped),
        tables.count(split.truncated),
        tables.count(split.tokens),
        tables.count(split.trained_tokens),
        "-" if packs is None else f"{tables.count(packs.packs)} ({packs.efficiency:.0%} full)",
    )


def _dropped(name: str, split: SplitAccount) -> str:
    reasons = {reason: tables.count(rows) for reason, rows in split.dropped.items() if rows}
    if not reasons:
        return ""
    return f"<h3>Rows of {escape(name)} left out, and why</h3>{tables.facts(reasons)}"


def _lengths(name: str, split: SplitAccount, max_length: int | None) -> str:
    lengths = split.lengths
    if lengths is None:
        return ""
    mark = max_length if max_length is not None and max_length <= lengths.maximum else None
    title = f"Lengths of the rows of {name} in tokens, before any is cut"
    picture = histogram(lengths.edges, lengths.counts, title, mark=mark)
    said = (
        f"<p class='soft'>shortest {lengths.minimum:,}, median {lengths.median:,}, 95 % up to "
        f"{lengths.p95:,}, longest {lengths.maximum:,}"
        + (
            f"; max_length is {max_length:,}, beyond all of them"
            if mark is None and max_length
            else ""
        )
        + "</p>"
    )
    return _figure(title, picture) + said
