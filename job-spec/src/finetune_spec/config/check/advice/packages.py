# SPDX-License-Identifier: Apache-2.0
"""Packages that the stock trainer image lacks: the pod would report it minutes later. No I/O
here.
"""

from collections.abc import Iterator

from finetune_spec.config.check.rules.precision import ONLY_AS_PACKAGES
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted, warning
from finetune_spec.packages import (
    ATTENTION,
    LINEAR_FAMILIES,
    OPTIMIZER,
    TRACKERS,
    Need,
    need_of,
    needs_of_storage,
)

_LACKS = "the trainer image lacks: the job would fail unless spec.image has it"


def advise_on_missing_packages(config: Reading, context: Context) -> Iterator[Problem]:
    """Otherwise `PackageNotInstalled`, or `TrackerNotInstalled`, is reported in the pod."""
    if context.has_own_image:
        return
    values = [(OPTIMIZER, config[OPTIMIZER]), (ATTENTION, config[ATTENTION])]
    values += [(TRACKERS, tracker) for tracker in config.trackers]
    for key, value in values:
        if key == ATTENTION and value in ONLY_AS_PACKAGES:
            continue  # Reported by another rule, where GPUs are known.
        need = need_of(key, value)
        if need is not None and not need.is_met_by_stock:
            yield warning(config.name(key), _words(value, need))


def advise_on_models_packages(config: Reading, context: Context) -> Iterator[Problem]:
    """Packages that the model's config.json shows to be required."""
    if context.has_own_image or context.model is None:
        return
    found = needs_of_storage(context.model)
    missing = [(method, need) for method, need in found if not need.is_met_by_stock]
    if missing:
        method, need = missing[0]
        names = " and ".join(each.package for _, each in missing)
        are = f"package {names} is" if len(missing) == 1 else f"packages {names} are"
        yield warning(
            config.name("model_name_or_path"),
            f"its weights are stored as {method}, for which the {are} needed, which {_LACKS}; "
            f"{need.instead}",
        )
    family = context.model.get("model_type")
    if isinstance(family, str) and family in LINEAR_FAMILIES and context.gpus_per_node != 0:
        yield warning(
            config.name("model_name_or_path"),
            "it trains several times faster with the package causal-conv1d, which the trainer "
            "image lacks",
        )


def advise_on_attention_in_packages(config: Reading, context: Context) -> Iterator[Problem]:
    """The trainer image has none of them: `AttentionNotInstalled` would be reported in the pod."""
    named = config[ATTENTION]
    if named in ONLY_AS_PACKAGES and context.gpus_per_node != 0 and not context.has_own_image:
        yield warning(
            config.name(ATTENTION),
            f"{quoted(named)} is a package that {_LACKS}; flash_attention_2 needs none",
        )


def _words(value: str, need: Need) -> str:
    return f"{quoted(value)} needs the package {need.package}, which {_LACKS}; {need.instead}"


ADVICE = (
    advise_on_missing_packages,
    advise_on_models_packages,
    advise_on_attention_in_packages,
)
