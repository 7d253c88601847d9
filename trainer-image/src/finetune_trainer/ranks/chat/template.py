# SPDX-License-Identifier: Apache-2.0
"""Gives the processor the chat template from the config, and checks that it fits the data."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from transformers import AutoTokenizer
from trl import SFTConfig
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.inputs.chat_templates import ENDINGS
from finetune_trainer.ranks.chat import is_chat
from finetune_trainer.ranks.chat.rendering import (
    ANSWER,
    MARK,
    closing_of,
    name_of,
    render,
    tokenizer_of,
)

_WAY_OUT = (
    "set chat_template_path: a template's name (such as chatml, llama3 or qwen3), a .jinja file, "
    "or a tokenizer that has one"
)


def settle_template(
    processor: Any, training: SFTConfig, row: Mapping[str, Any], added_tokens: Collection[str] = ()
) -> Any:
    """Gives the processor the template from the config, and checks that it fits the data.

    A file's text is set here; a tokenizer adds tokens too, and is left to TRL. Returns the one that
    has the template.

    Raises:
        AttemptFailed: conversations could not be trained with it.
    """
    source = _source_of_template(processor, training)
    if source is processor and training.chat_template_path is not None:
        training.chat_template_path = None
    if not is_chat(row):
        return source
    _require_rendering(source, row)
    if training.assistant_only_loss:
        _require_generation_marks(source)
    closing = closing_of(source)
    # A cloned tokenizer also adds its tokens.
    if source is processor and not closing.tokens and closing.foreign:
        lacking = [mark for mark in closing.foreign if mark not in added_tokens]
        if len(lacking) == len(closing.foreign):
            raise _spelt_out(lacking[0], source)
    return source


def _source_of_template(processor: Any, training: SFTConfig) -> Any:
    """The processor, with the template in it, or the tokenizer that the template is taken from."""
    place = training.chat_template_path
    if place is None:
        return processor
    if place.endswith(ENDINGS):
        try:
            processor.chat_template = Path(place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise attempt_failed(
                Reason.CHAT_TEMPLATE_NOT_FOUND,
                f"chat_template_path: {place} cannot be read: {error}",
                "set chat_template_path to a .jinja file in UTF-8, or upload it there",
            ) from None
        return processor
    return _other_tokenizer(place)


def _other_tokenizer(place: str) -> Any:
    try:
        source = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError):
        if not Path(place).is_dir():
            raise
        raise attempt_failed(
            Reason.CHAT_TEMPLATE_NOT_FOUND,
            f"chat_template_path: {place} is a directory without a tokenizer",
            "set chat_template_path to a .jinja file, or to the directory that save_pretrained "
            "wrote",
        ) from None
    if source.chat_template is None:
        raise attempt_failed(
            Reason.CHAT_TEMPLATE_NOT_FOUND,
            f"chat_template_path: the tokenizer of {place} has no chat template",
            _WAY_OUT,
        )
    return source


def _require_rendering(processor: Any, row: Mapping[str, Any]) -> None:
    if processor.chat_template is None:
        raise attempt_failed(
            Reason.CHAT_TEMPLATE_MISSING,
            f"the data contains conversations, but {name_of(processor)} has no chat template",
            _WAY_OUT,
        )
    try:
        rendered = render(processor, raises=True)
    except TemplateSyntaxError as error:
        raise attempt_failed(
            Reason.INVALID_CHAT_TEMPLATE,
            f"the chat template of {name_of(processor)} is not valid Jinja: line {error.lineno}: "
            f"{error.message}",
            f"change line {error.lineno} of the template, or leave chat_template_path out for the "
            "model's own",
        ) from None
    except (TemplateError, TypeError, ValueError, KeyError):
        # It may require other turns than this probe's; the data will show it.
        return
    if rendered is not None and ANSWER not in rendered and _has_plain_words(row):
        raise attempt_failed(
            Reason.INVALID_CHAT_TEMPLATE,
            f"the chat template of {name_of(processor)} leaves out the content: it is made for "
            "content in parts, as with images, but the data contains plain texts",
            _WAY_OUT,
        )


def _has_plain_words(row: Mapping[str, Any]) -> bool:
    turns = row.get("messages") or row.get("completion") or row.get("conversations") or ()
    return any(isinstance(turn.get("content", turn.get("value")), str) for turn in turns)


def _require_generation_marks(processor: Any) -> None:
    if has_generation_markers(processor.chat_template):
        return
    try:
        found = get_training_chat_template(processor)
    except ValueError:
        found = None
    if found is None:
        raise attempt_failed(
            Reason.ASSISTANT_TOKENS_UNKNOWN,
            f"assistant_only_loss is set, but the chat template of {name_of(processor)} does not "
            "mark the assistant's words with {% generation %}, and TRL cannot add the marks to it",
            "set chat_template_path to a template with these marks, give the data as prompt and "
            "completion, or leave assistant_only_loss out",
        )


def _spelt_out(mark: str, processor: Any) -> AttemptFailed:
    marks = list(dict.fromkeys(MARK.findall(render(processor) or "")))
    known = tokenizer_of(processor).get_vocab()
    lacking = ", ".join(f"'{found}'" for found in marks if found not in known)
    return attempt_failed(
        Reason.CHAT_TEMPLATE_TOKENS_MISSING,
        f"the chat template ends answers with {mark}, which is not a token of "
        f"{name_of(processor)}: it would be split into characters, and answers would not stop",
        f"set added_tokens: [{lacking}], or chat_template_path to a template that uses the "
        "model's own tokens",
    )
