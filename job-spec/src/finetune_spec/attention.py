# SPDX-License-Identifier: Apache-2.0
"""The attention that a config gets: its name and its description. No I/O here.

`expected_attention` predicts it before the model is loaded, for `finetune plan` and the memory
estimate. The ranks decide by the loaded model, with the same names
(`finetune_trainer.ranks.attention`).
"""

from dataclasses import dataclass

from finetune_spec.config.parse.reading import Reading

VARLEN, SDPA, EAGER, FLASH_2 = "torch_varlen", "sdpa", "eager", "flash_attention_2"
"""The first name without `flash` in it: otherwise transformers would look for a package of that
name.
"""

TORCHS_OWN = (None, SDPA, FLASH_2)
"""The values of `attn_implementation` that select torch's own attention, in the form that suits the
rows.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """An attention, and the sentence about it for logs, plan and report."""

    name: str
    words: str

    def __str__(self) -> str:
        return f"{self.name}: {self.words}"


BY_KERNEL = Attention(
    name=VARLEN, words="rows are flat, so torch's FlashAttention-2 kernels are used"
)
ONE_BY_ONE = Attention(
    name=VARLEN, words="rows are flat, so torch's sdpa processes one sequence at a time"
)
PADDED = Attention(name=SDPA, words="rows are padded; packing: true would make them flat")
WRAPPED = Attention(
    name=SDPA, words="a pack is treated as one sequence, so its rows are not separated"
)


def capped(model: str) -> Attention:
    """For models whose scores pass through a function that only transformers' own code has."""
    return Attention(
        name=EAGER,
        words=f"{model} has an attention variant that neither sdpa nor torch's kernels support",
    )


def as_named(name: str) -> Attention:
    return Attention(name=name, words="as set by attn_implementation")


def expected_attention(
    config: Reading, *, softcaps: bool = False, has_gpus: bool = True
) -> Attention:
    """The attention that the trainer image uses, as far as the config shows.

    `softcaps` is whether the model caps its attention scores, as Gemma 2 does.
    """
    named = config.attention
    if named not in TORCHS_OWN:
        return as_named(str(named))
    if softcaps:
        return capped("the model")
    if not config.has_flat_rows:
        return WRAPPED if config["packing"] else PADDED
    return BY_KERNEL if has_gpus else ONE_BY_ONE
