# SPDX-License-Identifier: Apache-2.0
"""A vocabulary with more tokens: those that the config adds, and those of a cloned template."""

import logging
from collections.abc import Sequence
from typing import Any

from trl import SFTConfig
from trl.chat_template_utils import clone_chat_template

log = logging.getLogger(__name__)


def add_tokens(model: Any, processor: Any, tokens: Sequence[str]) -> list[int]:
    """Their ids. The new ones' embeddings begin where transformers puts them: around the mean.

    A token that is there already, such as one that the model reserves, is trained all the same.
    """
    if not tokens:
        return []
    tokenizer = tokenizer_of(processor)
    known = [token for token in tokens if token in tokenizer.get_vocab()]
    if known:
        log.info("tokens are in the vocabulary already tokens=%s", known)
    tokenizer.add_tokens([token for token in tokens if token not in known])
    fit_embeddings(model, tokenizer)
    return sorted({int(tokenizer.convert_tokens_to_ids(token)) for token in tokens})


def clones_template(training: SFTConfig) -> bool:
    """Whether the chat template is another model's, whose tokens come with it."""
    path = training.chat_template_path
    return path is not None and not path.endswith((".jinja", ".j2"))


def clone_template(model: Any, processor: Any, training: SFTConfig) -> list[int]:
    """The ids of the tokens that come with another model's template, as `SFTTrainer` does it.

    Ours only for an adapter on a model with tied embeddings: there TRL 1.16 wraps the head twice,
    and its own loss can't read it.
    """
    _, _, ids = clone_chat_template(model, processor, str(training.chat_template_path))
    training.chat_template_path = None
    return list(ids)


def fit_embeddings(model: Any, tokenizer: Any) -> None:
    """Enlarge the embeddings where the tokenizer has more tokens; many have rows to spare."""
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > embeddings.num_embeddings:
        # One that is only drawn has no values to take a mean of.
        model.resize_token_embeddings(len(tokenizer), mean_resizing=not embeddings.weight.is_meta)


def tokenizer_of(processor: Any) -> Any:
    """A processor of images has a tokenizer; a tokenizer is one."""
    return getattr(processor, "tokenizer", processor)
