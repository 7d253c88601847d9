# SPDX-License-Identifier: Apache-2.0
"""The files of a report. A report must not fail the artifact: a file that cannot be written is left
out, and its name is returned. I/O: writes files.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from finetune_trainer.failures.redaction import Redaction
from finetune_trainer.publication.report.curves import loss_curve
from finetune_trainer.publication.report.page import report_page
from finetune_trainer.publication.report.story import Story, config_text

log = logging.getLogger(__name__)

Texts = Mapping[str, Callable[[], str]]
"""The function that creates each text, by the name of its file."""


def report_texts(story: Story) -> Texts:
    """The files of a report, with their functions."""
    facts, account = story.run_facts, story.account
    versions = {"packages": dict(story.versions), **facts.digests}
    texts: dict[str, Callable[[], str]] = {
        "metrics.jsonl": lambda: "".join(f"{json.dumps(record)}\n" for record in story.history),
        "report.html": lambda: report_page(story),
        "loss.svg": lambda: loss_curve(story),
        "config.yaml": lambda: config_text(story.run.written),
        "resolved_config.yaml": lambda: config_text(facts.resolved_config),
        "versions.json": lambda: json.dumps(versions, indent=2, sort_keys=True),
        "samples.json": lambda: json.dumps(list(story.samples), indent=2),
    }
    if account is not None:
        texts["data.json"] = account.to_json
    return texts


def write_texts(folder: Path, texts: Texts, redaction: Redaction) -> tuple[str, ...]:
    """Writes each of them without secrets; returns the names of those that could not be created."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for name, make in texts.items():
        try:
            text = make()
        except Exception:
            log.exception("not written name=%s", name)
            missing.append(name)
        else:
            (folder / name).write_text(redaction.text(text))
    return tuple(missing)
