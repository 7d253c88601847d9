# SPDX-License-Identifier: Apache-2.0
"""The README of an artifact: front matter for the hub, and information for users. Pure."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from finetune_trainer.exchange.history import BASE_EVAL_LOSS
from finetune_trainer.publication.report.curves import EVAL_LOSS
from finetune_trainer.publication.report.loading import how_to_load
from finetune_trainer.publication.report.story import Story, config_text
from finetune_trainer.storage import locations

ADAPTER, MODEL = "adapter", "model"


def model_card(story: Story, kind: str) -> str:
    """The card of one directory: of the adapter, or of a full model."""
    is_adapter = kind == ADAPTER
    name = (
        story.run_facts.repository
        if story.run_facts.repository and not _is_beside(story, kind)
        else kind
    )
    return (
        f"---\n{yaml.safe_dump(_front_matter(story, is_adapter=is_adapter), sort_keys=True)}---\n\n"
        f"# {story.run.job.name}\n\n{_introduction(story, is_adapter=is_adapter)}\n\n"
        f"## How to load it\n\n{how_to_load(story, name, is_adapter=is_adapter)}\n\n"
        f"{_added_tokens(story, is_adapter=is_adapter)}"
        f"## Figures\n\n{_figures(story)}\n"
        f"## Data\n\n{_data(story)}\n"
        f"{_notes(story)}"
        f"## Licence\n\n{_licence(story)}\n\n"
        f"## Config\n\n```yaml\n{config_text(story.run.written)}```\n\n"
        f"## Versions\n\n{_table(('Package', 'Version'), list(story.versions.items()))}"
    )


def _is_beside(story: Story, kind: str) -> bool:
    """Whether this is the merged model, which is not pushed to the hub."""
    return story.is_to_be_merged and kind == MODEL


def _front_matter(story: Story, *, is_adapter: bool) -> dict[str, Any]:
    matter: dict[str, Any] = {
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": "image-text-to-text" if story.has_processor else "text-generation",
        "tags": ["trl", "sft", "finetune-operator", *(["lora"] if is_adapter else [])],
    }
    # The hub links these, and refuses names in another format.
    base = story.base_of_adapter if is_adapter else story.base
    if base.is_on_hub and is_hub_name(story.base_model):
        matter["base_model"] = base.loads_as
        matter["base_model_relation"] = "adapter" if is_adapter else "finetune"
    if sets := [locations.hub_name(name) for name in story.data_sets if is_hub_name(name)]:
        matter["datasets"] = sets
    if story.run_facts.licence:
        matter["license"] = story.run_facts.licence
    return matter


def is_hub_name(name: str) -> bool:
    """Whether a name has the hub's format: `owner/name`, neither a path nor a URI."""
    bare = locations.hub_name(name)
    if locations.scheme_of(bare) is not None or locations.path_of(bare) is not None:
        return False
    return len(PurePosixPath(bare).parts) <= 2


def _introduction(story: Story, *, is_adapter: bool) -> str:
    kind = "A LoRA adapter for" if is_adapter else "Made from"
    if story.is_to_be_merged and not is_adapter:
        kind = "With the adapter merged into it:"
    data = " and ".join(f"`{name}`" for name in story.data_sets) or "a mixture"
    loss = story.figures.get("loss")
    result = "" if loss is None else f", to a training loss of {loss:.4g}"
    if story.run.starting is not None:
        is_merged = story.run.has_merged_base
        how, end = (" with", " merged into it") if is_merged else (", continued from", "")
        kind = f"{kind} `{story.base_model}`{how} the adapter {story.starting_adapter}{end}"
    else:
        kind = f"{kind} `{story.base_model}`"
    return (
        f"{kind}, fine-tuned with TRL's SFT on {data} in {story.step} "
        f"steps{result}. Run `{story.run.run_id}`; its report is stored next to this directory, in "
        "`report/`."
    )


def _added_tokens(story: Story, *, is_adapter: bool) -> str:
    if not story.added_tokens and not story.trains_token_rows:
        return ""
    named = ", ".join(f"`{token}`" for token in story.added_tokens)
    listed = named or "those of its chat template"
    how = ": resize the base model's embeddings before loading, as above" if is_adapter else ""
    return f"The tokenizer has tokens that the base model's tokenizer lacks ({listed}){how}.\n\n"


def _figures(story: Story) -> str:
    figures = story.figures
    rows = [
        ("training loss, first", figures.get("first_loss")),
        ("training loss, last", figures.get("loss")),
        (story.first_evaluation, figures.get(BASE_EVAL_LOSS)),
        ("eval loss after training", figures.get(EVAL_LOSS)),
        ("eval token accuracy", figures.get("eval_mean_token_accuracy")),
    ]
    told = [(name, f"{value:.4g}") for name, value in rows if value is not None]
    return _table(("Figure", "Value"), told) if told else "None were logged.\n"


def _data(story: Story) -> str:
    sources = "".join(f"- `{name}`\n" for name in story.data_sets) or "- a mixture\n"
    if story.account is None:
        return sources
    rows = [
        (
            name,
            "unknown" if split.rows is None else f"{split.rows:,}",
            f"{split.rows_dropped:,}",
            "unknown" if split.truncated is None else f"{split.truncated:,}",
        )
        for name, split in story.account.splits.items()
    ]
    return f"{sources}\n{_table(('Split', 'Rows', 'Left out', 'Cut at max_length'), rows)}"


def _notes(story: Story) -> str:
    if not story.notes:
        return ""
    lines = "".join(
        f"- {_in_markdown(f'{note.severity}: {note.message}')}\n" for note in story.notes
    )
    return f"## Notes\n\n{lines}\n"


def _in_markdown(text: str) -> str:
    """A message may quote data: it must be text there, neither a link nor a tag."""
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", text)


def _licence(story: Story) -> str:
    if licence := story.run_facts.licence:
        return f"The base model's is `{licence}`; it also applies to the fine-tuned model."
    return (
        "Unknown: the base model's own card does not state it. Check it before you distribute "
        "this model."
    )


def _table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(headers) + " |", "|" + " --- |" * len(headers)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
