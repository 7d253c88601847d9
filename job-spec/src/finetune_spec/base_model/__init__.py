# SPDX-License-Identifier: Apache-2.0
"""Checks that a base model can be trained with a config, without loading the model.

Doors: `check_base_model` and `files.find_damage`.

kinds      text decoders are accepted; encoders, classifiers and translators are refused
quantized  models with quantized weights
targets    the modules that an adapter targets, and whether the model has them
packed_rows   the architectures that are measured to keep packed sequences separate
named_targets the modules that a config lists
experts    mixtures of experts, whose matrices PEFT adapts as parameters
mamba      models with Mamba layers, some of whose matrices cannot have an adapter
files      the files of a model: LFS pointers, other formats, missing files
tensors    the tensors in the headers of its weights: missing, unknown and prefixed ones
adapters   an adapter in place of a model: its config, of which only supported options are kept
adapter_fit   whether an adapter fits the config, its file and its base model
headers    the header of a safetensors file, and the index of several
tokens     a tokenizer with more tokens than the embedding has rows

All input comes from a hub or a bucket and is untrusted. No I/O here.
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
    """The problem of a valid config with this model; None where no model is known.

    `modules` are the names of the matrices in the model's files, if these were read. Only the first
    problem is returned: for a model of the wrong kind, further messages would not help.
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
