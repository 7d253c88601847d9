# SPDX-License-Identifier: Apache-2.0
"""Whether a base model can be trained as a config says, from what can be read without loading it.

Doors: `check_base_model` and `files.find_damage`.

kinds      decoders that write text; encoders, classifiers and translators are refused
quantized  models whose weights are stored in few bits
targets    which modules an adapter is put on, and whether the model has them
packed_rows   which architectures keep the rows of a pack apart, as it was measured
experts    mixtures of experts, whose matrices PEFT adapts as parameters
mamba      models with Mamba layers, which read some matrices past an adapter
files      what is in a model's folder: pointers, other formats, files that are missing
tensors    what the headers of its weights list: missing, foreign and prefixed tensors
tokens     a tokenizer with more tokens than the embedding has rows

Everything here comes from a hub or a bucket: it may hold anything. No I/O here.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from finetune_spec.base_model import experts, kinds, mamba, packed_rows, quantized, targets
from finetune_spec.config.parse.reading import Context, UnreadableValue
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem

ModelRule = Callable[[SftConfig, Mapping[str, Any]], Iterator[Problem]]

RULES: tuple[ModelRule, ...] = (
    kinds.check_kind,
    quantized.check_stored_bits,
    targets.check_default_targets,
    targets.check_tied_embeddings,
    experts.check_dropout,
    experts.check_fused_targets,
    mamba.check_mamba_targets,
)


def check_base_model(
    config: SftConfig, context: Context, modules: Collection[str] = ()
) -> tuple[Problem, ...]:
    """What is wrong with a right config for this model; nothing where no model is known.

    `modules` are the names of the matrices in the model's files, where these were looked at. The
    first rule that finds a mistake is the last: of a model of the wrong kind nothing else that
    could be said helps anybody.
    """
    if (model := context.model) is None:
        return ()

    def check_packed_rows(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
        return packed_rows.check_packed_rows(config, model, context)

    def check_named_targets(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
        return targets.check_named_targets(config, model, modules)

    found: list[Problem] = []
    for rule in (*RULES, check_packed_rows, check_named_targets):
        problems = _say(rule, config, model)
        if any(not problem.is_warning for problem in problems):
            return problems
        found += problems
    return tuple(found)


def _say(rule: ModelRule, config: SftConfig, model: Mapping[str, Any]) -> tuple[Problem, ...]:
    try:
        return tuple(rule(config, model))
    except UnreadableValue:
        return ()
