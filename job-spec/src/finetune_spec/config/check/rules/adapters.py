# SPDX-License-Identifier: Apache-2.0
"""An adapter in place of a model: what is trained of it, and on which base model. No I/O here."""

from collections.abc import Iterator

from finetune_spec.config.check.chat_templates import NAMES
from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.parse.sft_config import (
    ADAPTER_BASE,
    AS_MODEL,
    CONTINUE,
    MERGE,
    MODEL,
    TEMPLATE,
)
from finetune_spec.config.problem import Problem, quoted

_CODE = "trust_remote_code"
_TEMPLATE_FILES = (".jinja", ".j2")


def check_base_of_adapter(config: Reading, context: Context) -> Iterator[Problem]:
    """The key would have no effect."""
    path = config.name(ADAPTER_BASE)
    if config[ADAPTER_BASE] and not config[AS_MODEL]:
        yield Problem(
            path=path,
            message=f"has no effect without {AS_MODEL}: set it to {CONTINUE} or {MERGE} if {MODEL} "
            f"names an adapter, or remove {path}",
        )


def check_code_of_base(config: Reading, context: Context) -> Iterator[Problem]:
    """The user trusts the code of the named model, not of any that an adapter's author names."""
    trusts = config[_CODE] or config.mapping("model_init_kwargs").get(_CODE)
    if config[AS_MODEL] and trusts and not config[ADAPTER_BASE]:
        path = config.name(_CODE if config[_CODE] else "model_init_kwargs")
        yield Problem(
            path=path,
            message="would run code of the base model that the adapter names: set "
            f"{ADAPTER_BASE} to the base model whose code you trust",
        )


def check_continued_adapter(config: Reading, context: Context) -> Iterator[Problem]:
    """The adapter has its own matrices, and its own tokenizer if it has new tokens."""
    if config[AS_MODEL] != CONTINUE:
        return
    if not config["use_peft"]:
        path = config.name("use_peft")
        yield Problem(
            path=path,
            message=f"found false, but {AS_MODEL}: {CONTINUE} trains an adapter: remove {path}, or "
            f"set {AS_MODEL}: {MERGE} to train the full model",
        )
    if config["added_tokens"]:
        yield Problem(
            path=config.name("added_tokens"),
            message=f"found together with {AS_MODEL}: {CONTINUE}, which cannot add tokens to an "
            f"adapter: remove it, or set {AS_MODEL}: {MERGE}",
        )
    template = config[TEMPLATE]
    if template and template not in NAMES and not template.endswith(_TEMPLATE_FILES):
        yield Problem(
            path=config.name(TEMPLATE),
            message=f"found {quoted(template)}, another model, whose tokens would be added: with "
            f"{AS_MODEL}: {CONTINUE} set it to a template's name or file, or remove it",
        )


def check_merged_adapter(config: Reading, context: Context) -> Iterator[Problem]:
    """A new adapter's base model, the merged one, would exist nowhere."""
    if config[AS_MODEL] == MERGE and config["use_peft"] and not config["merge_adapter"]:
        yield Problem(
            path=config.name(AS_MODEL),
            message=f"found {MERGE} together with use_peft: true, so that the new adapter would "
            "need a base model that is published nowhere: set merge_adapter: true to also publish "
            f"the complete model, or {AS_MODEL}: {CONTINUE} to train the adapter itself",
        )


RULES = (
    check_base_of_adapter,
    check_code_of_base,
    check_continued_adapter,
    check_merged_adapter,
)
