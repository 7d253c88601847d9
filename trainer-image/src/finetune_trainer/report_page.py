# SPDX-License-Identifier: Apache-2.0
"""The report and the model card that lie beside an artifact. Pure: values in, text out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import yaml

from finetune_contract.run import Run
from finetune_trainer.curve import draw
from finetune_trainer.history import Record, losses_of

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top;
padding: .35rem .6rem; border-bottom: 1px solid #e5e7eb } pre { background: #f9fafb; padding: 1rem;
overflow-x: auto } h2 { margin-top: 2rem } svg { max-width: 100%; height: auto }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What there is to tell about a finished run."""

    run: Run
    config: Mapping[str, Any]
    """As the user wrote it, with this attempt's adjustments."""
    history: Sequence[Record]
    samples: Sequence[Mapping[str, str]]
    """Held-out prompts: `prompt`, `expected`, `before`, `after`."""
    figures: Mapping[str, float]
    step: int
    world_size: int
    versions: Mapping[str, str]
    is_adapter: bool

    @property
    def base_model(self) -> str:
        return str(self.config["model_name_or_path"])


def loss_curve(story: Story) -> str:
    """The loss curve as an SVG picture."""
    curves = {
        "loss": losses_of(story.history, "loss"),
        "eval loss": losses_of(story.history, "eval_loss"),
    }
    return draw(curves, f"Loss of {story.run.job.name}")


def report_page(story: Story) -> str:
    """The report: one HTML page that needs nothing else."""
    name = escape(story.run.job.name)
    facts = {
        "Base model": story.base_model,
        "Run": story.run.run_id,
        "Attempt": str(story.run.attempt),
        "Steps": str(story.step),
        "Processes": str(story.world_size),
        **{key: f"{value:.6g}" for key, value in story.figures.items()},
    }
    parts = [
        f"<h1>{name}</h1>",
        _table(facts),
        f"<h2>Loss</h2>{loss_curve(story)}",
        _answers(story.samples),
        f"<h2>Config</h2><pre>{escape(config_text(story.config))}</pre>",
        f"<h2>Versions</h2>{_table(story.versions)}",
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{name}</title>"
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def model_card(story: Story) -> str:
    """The README of the artifact, with the front matter that the hub reads."""
    matter = {
        "base_model": story.base_model,
        "library_name": "peft" if story.is_adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["trl", "sft", "finetune-operator", *(["lora"] if story.is_adapter else [])],
    }
    data = story.config.get("dataset_name") or "a mixture"
    loading = _LOAD_ADAPTER if story.is_adapter else _LOAD_MODEL
    loss = story.figures.get("loss")
    return (
        f"---\n{yaml.safe_dump(matter, sort_keys=True)}---\n\n# {story.run.job.name}\n\n"
        f"`{story.base_model}`, fine-tuned on `{data}` in {story.step} steps"
        f"{'' if loss is None else f' to a loss of {loss:.4g}'}. "
        f"Run `{story.run.run_id}`; the report lies beside this folder.\n\n"
        f"```python\n{loading.format(base=story.base_model)}```\n\n"
        f"## Config\n\n```yaml\n{config_text(story.config)}```\n"
    )


def config_text(config: Mapping[str, Any]) -> str:
    """The config as YAML, without what `env` may hold."""
    shown = {key: value for key, value in config.items() if key not in ("env", "hub_token")}
    return yaml.safe_dump(shown, sort_keys=True, allow_unicode=True)


_LOAD_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "adapter")
tokenizer = AutoTokenizer.from_pretrained("adapter")
"""

_LOAD_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("model")
tokenizer = AutoTokenizer.from_pretrained("model")
"""


def _table(rows: Mapping[str, str]) -> str:
    cells = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _answers(samples: Sequence[Mapping[str, str]]) -> str:
    if not samples:
        return ""
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(sample[column])}</td>"
            for column in ("prompt", "before", "after", "expected")
        )
        + "</tr>"
        for sample in samples
    )
    return (
        "<h2>Answers to held-out prompts</h2><table><tr><th>Prompt</th><th>Before</th>"
        f"<th>After</th><th>Expected</th></tr>{rows}</table>"
    )
