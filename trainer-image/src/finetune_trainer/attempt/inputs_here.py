# SPDX-License-Identifier: Apache-2.0
"""Fetches all inputs of a run's config to this node, before any rank starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune_trainer.inputs import fetching
from finetune_trainer.inputs.hub.fetching import HubModel, fetch_from_hub
from finetune_trainer.inputs.hub_model import is_on_hub
from finetune_trainer.inputs.origins import cached_folder
from finetune_trainer.plan import training_plan
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage import locations
from finetune_trainer.supervision.context import AttemptContext


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsHere:
    """The local path of each model and dataset of the config, by its name there."""

    stored: Mapping[str, Path] = field(default_factory=dict)
    """Inputs that were fetched from a store or the web, or were local."""
    from_hub: Mapping[str, Path] = field(default_factory=dict)
    """Models in the hub's cache. Datasets of the hub are not among them: `datasets` fetches the
    parts that it needs.
    """

    @property
    def paths(self) -> Mapping[str, Path]:
        return {**self.stored, **self.from_hub}


def fetch_inputs(
    run: ParsedRun, context: AttemptContext, check_on_hub: Callable[[], None]
) -> InputsHere:
    """`check_on_hub` is called for a model of the hub before gigabytes are downloaded, but not
    earlier, because the hub may not respond.

    Raises:
        AttemptFailed: an input does not exist, or cannot be read.
        Interrupted: a stop was requested.
    """
    stored = fetch_stored(run, context)
    from_hub: dict[str, Path] = {}
    # After the rest: missing data is reported before hours of a download.
    for key, name in training_plan.names_to_fetch(run.config):
        if key == fetching.MODEL_KEY and is_on_hub(name):
            check_on_hub()
        if name not in stored and (found := _fetch_from_hub(key, name, run, context)) is not None:
            from_hub[name] = found
    context.reporter.note_doing(None)
    return InputsHere(stored=stored, from_hub=from_hub)


def fetch_stored(
    run: ParsedRun, context: AttemptContext, *, only: str | None = None
) -> dict[str, Path]:
    """The inputs that are not on the hub; only that of one key if `only` names it."""
    stored: dict[str, Path] = {}
    for place, (key, name) in enumerate(training_plan.names_to_fetch(run.config)):
        if only not in (None, key):
            continue
        folder = context.workspace.inputs / f"{place}-{key}"
        found = fetching.fetch(key, name, folder, context.environment, context.stop)
        if found is not None:
            stored[name] = found
    return stored


def fetch_named(name: str, folder: Path, run: ParsedRun, context: AttemptContext) -> Path | None:
    """The local path of one more model, wherever it is; None if the cache of an offline node lacks
    it. `folder` is for files from a store.

    Raises:
        AttemptFailed: it does not exist, or cannot be read.
        Interrupted: a stop was requested.
    """
    key = fetching.MODEL_KEY
    found = fetching.fetch(key, name, folder, context.environment, context.stop)
    if found is None and Path(name).exists():
        found = Path(name).absolute()  # transformers looks for a directory first, too.
    if found is None:
        found = _fetch_from_hub(key, name, run, context)
        context.reporter.note_doing(None)
    return found or cached_folder(locations.hub_name(name), run.config["model_revision"])


def _fetch_from_hub(key: str, name: str, run: ParsedRun, context: AttemptContext) -> Path | None:
    if key not in (fetching.MODEL_KEY, fetching.TEMPLATE_KEY) or Path(name).exists():
        return None  # transformers looks for a directory first, too.
    # The config may set the address and the cache directory of the hub's client.
    variables = {str(key): str(value) for key, value in run.config.variables.items()}
    is_model = key == fetching.MODEL_KEY
    revision = run.config["model_revision"] if is_model else None
    return fetch_from_hub(
        HubModel(name=locations.hub_name(name), revision=revision or "main", with_weights=is_model),
        {**context.environment, **variables},
        context.stop,
        context.reporter.note_doing,
        context.rank_output,
    )
