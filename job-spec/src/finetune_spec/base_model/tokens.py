# SPDX-License-Identifier: Apache-2.0
"""A tokenizer with more tokens than the embedding has rows. No I/O here.

Some published models have this, and train as long as no text contains such a token.
"""

from collections.abc import Iterator

from finetune_spec.base_model.files import ModelFiles
from finetune_spec.config.parse.sft_config import MODEL, SftConfig
from finetune_spec.config.problem import Problem, quoted, warning

_NAMED = 5


def find_tokens_beyond(files: ModelFiles, vocabulary: int | None) -> list[str]:
    """The tokens without a row; `vocabulary` is config.json's number of rows, if known."""
    rows = files.embedding_rows or vocabulary
    if rows is None:
        return []
    return [token for token, place in files.added_tokens.items() if place >= rows]


def advise_on_tokens(
    config: SftConfig, files: ModelFiles, vocabulary: int | None
) -> Iterator[Problem]:
    """The run ends with an error if a text contains one; this is known after the data is read."""
    beyond = [it for it in find_tokens_beyond(files, vocabulary) if it not in _added(config)]
    if beyond:
        shown = ", ".join(quoted(token) for token in beyond[:_NAMED])
        more = f" and {len(beyond) - _NAMED} more" if len(beyond) > _NAMED else ""
        yield warning(
            config.name(MODEL),
            f"its embedding has no row for {shown}{more}: if the data contains one of them, list "
            "it in added_tokens to extend the embedding",
        )


def _added(config: SftConfig) -> tuple[str, ...]:
    added = config["added_tokens"]
    return tuple(added) if isinstance(added, list | tuple) else ()
