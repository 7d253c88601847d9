# SPDX-License-Identifier: Apache-2.0
"""The report: one self-contained HTML page, for print, light or dark. Pure.

The page itself is `templates/report.html`; all values of a story are escaped there.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_spec.quantities import render_bytes, render_duration
from finetune_trainer.exchange.history import BASE_EVAL_LOSS
from finetune_trainer.publication.report import amounts
from finetune_trainer.publication.report.charts import histogram
from finetune_trainer.publication.report.curves import EVAL_LOSS, loss_curve, small_curves
from finetune_trainer.publication.report.story import Story, config_text

if TYPE_CHECKING:
    from jinja2 import Template


def report_page(story: Story) -> str:
    """The complete page."""
    return _template().render(
        story=story,
        loss_curve=loss_curve(story),
        small_curves=small_curves(story),
        digests=_digests(story.run_facts.digests),
    )


@cache
def _template() -> "Template":
    # `finetune validate` imports this module, on laptops without training packages and Jinja2.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "figure": amounts.figure,
        "count": amounts.count,
        "bytes_text": render_bytes,
        "duration": render_duration,
        "config_text": config_text,
    }
    templates.globals |= {
        "histogram": histogram,
        "BASE_EVAL_LOSS": BASE_EVAL_LOSS,
        "EVAL_LOSS": EVAL_LOSS,
    }
    return templates.get_template("report.html")


def _digests(digests: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The input, its file, and the digest."""
    return [
        (str(entry.get("name", "")), where, digest)
        for entry in (digests.get("model"), *digests.get("data", ()))
        if isinstance(entry, Mapping)
        for where, digest in _digests_of(entry)
    ]


def _digests_of(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    if revision := entry.get("revision"):
        return [("revision on the hub", str(revision))]
    return [(path, str(digest)) for path, digest in (entry.get("files") or {}).items()]
