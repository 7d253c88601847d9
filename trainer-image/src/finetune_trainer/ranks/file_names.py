# SPDX-License-Identifier: Apache-2.0
"""Names of weights in a model's files: transformers renames the weights of many models."""

from collections.abc import Iterable
from typing import Any

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
)


def file_names(model: Any, names: Iterable[str]) -> dict[str, str]:
    """The model's own name of a weight -> the one of `names` that it is loaded from.

    Weights that are converted, such as those assembled from several, are left out.
    """
    mapping = get_model_conversion_mapping(model)
    renamings = [it for it in mapping if isinstance(it, WeightRenaming)]
    converters = [it for it in mapping if isinstance(it, WeightConverter)]
    places, prefix = model.state_dict(), model.base_model_prefix
    found: dict[str, str] = {}
    several = set()
    # In transformers' order: some renamings begin with the first name that matches them.
    for name in sorted(names, key=dot_natural_key):
        renamed, conversion = rename_source_key(name, renamings, converters, prefix, places)
        if renamed not in places and name in places:
            renamed, conversion = name, None
        if conversion is not None or renamed not in places:
            continue
        if renamed in found:
            several.add(renamed)
        found[renamed] = name
    return {renamed: name for renamed, name in found.items() if renamed not in several}
