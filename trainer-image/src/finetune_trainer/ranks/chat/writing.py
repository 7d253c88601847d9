# SPDX-License-Identifier: Apache-2.0
"""Renders conversations with a processor's chat template, in the same way as TRL."""

from collections.abc import Mapping
from typing import Any

from transformers import ProcessorMixin
from trl.chat_template_utils import get_training_chat_template, has_generation_markers
from trl.data_utils import prepare_multimodal_messages

from finetune_trainer.ranks.chat.structure import Conversation
from finetune_trainer.ranks.chat.trial import Template


def template_of(processor: Any, *, marks_answers: bool) -> Template:
    """The template that TRL will use; with `assistant_only_loss` it may use another one, which
    marks the assistant's tokens.
    """
    own = processor.chat_template
    text = None
    if marks_answers and not has_generation_markers(own):
        text = get_training_chat_template(processor)
    sources = list(own.values()) if isinstance(own, Mapping) else [own]
    return Template(
        write=TemplateWriter(processor, text), source="\n".join(filter(None, [text, *sources]))
    )


class TemplateWriter:
    """A value that can be sent to a stream's workers."""

    def __init__(self, processor: Any, template: str | None) -> None:
        self._processor, self._template = processor, template

    def __call__(self, conversation: Conversation) -> str:
        if conversation.prompt_turns:
            prompt = conversation.turns[: conversation.prompt_turns]
            self._write(prompt, conversation, add_generation_prompt=True)
        return self._write(conversation.turns, conversation)

    def _write(self, turns: Any, conversation: Conversation, **options: Any) -> str:
        messages = [dict(turn) for turn in turns]
        if isinstance(self._processor, ProcessorMixin):
            messages = prepare_multimodal_messages(messages)
        given = {"chat_template": self._template, "tools": conversation.tools}
        written = self._processor.apply_chat_template(
            messages, tokenize=False, **given, **options, **conversation.options
        )
        return str(written)
