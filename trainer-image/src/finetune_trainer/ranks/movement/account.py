# SPDX-License-Identifier: Apache-2.0
"""The facts about each trained tensor, combined over the ranks. No I/O, no torch here."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

_WRAPPERS = re.compile(
    r"(^module\.)|\b(_fsdp_wrapped_module|_orig_mod|_checkpoint_wrapped_module)\."
)
_ADAPTER_NAME = re.compile(r"\.(modules_to_save\.)?default(?=\.|$)")
"""PEFT's name of an adapter, which it removes when it saves."""


class Gradient(IntEnum):
    """The observed gradient of a tensor. The higher value of two ranks counts."""

    UNKNOWN = 0
    """It was not observed."""
    NEVER = 1
    """autograd never reached the tensor."""
    ZERO = 2
    """autograd reached it, and every value was zero at every step."""
    NONZERO = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One trained tensor, or this rank's part of it."""

    name: str
    dtype: str
    """torch's name for it: "float32"."""
    has_moved: bool | None
    """Compared with its value before the first step of the run; None if unknown."""
    is_published_moved: bool | None
    """The same for the published tensor, which may be an earlier step's."""
    began_at_zero: bool = False
    gradient: Gradient = Gradient.UNKNOWN
    is_on_path: bool = False
    """Whether the gradient of the loss passed through its module."""
    smallest: float = 0.0
    """The smallest magnitude in it, for a tensor that is unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account of all trained tensors; empty if they were not observed."""

    tensors: tuple[Tensor, ...] = ()
    learning_rate: float = 0.0
    """The highest one of this attempt."""
    optimizer: str = ""

    @property
    def published(self) -> dict[str, Tensor]:
        """The published tensors that differ from their initial values, by their names in files."""
        return {saved_name(it.name): it for it in self.tensors if it.is_published_moved}


def plain_name(name: str) -> str:
    """A parameter's name without the names of wrappers around its modules."""
    return _WRAPPERS.sub("", name)


def saved_name(name: str) -> str:
    """The name in the saved files. For some models transformers uses other names."""
    return _ADAPTER_NAME.sub("", plain_name(name))


def together(accounts: Sequence[Account]) -> Account:
    """The combined facts of the ranks, each of which may have a part of a tensor."""
    parts: dict[str, list[Tensor]] = {}
    for account in accounts:
        for tensor in account.tensors:
            parts.setdefault(tensor.name, []).append(tensor)
    return replace(accounts[0], tensors=tuple(_merged(found) for found in parts.values()))


def _merged(parts: Sequence[Tensor]) -> Tensor:
    return replace(
        parts[0],
        has_moved=_any(part.has_moved for part in parts),
        is_published_moved=_any(part.is_published_moved for part in parts),
        began_at_zero=all(part.began_at_zero for part in parts),
        gradient=max(part.gradient for part in parts),
        is_on_path=any(part.is_on_path for part in parts),
        smallest=min(part.smallest for part in parts),
    )


def _any(answers: Iterable[bool | None]) -> bool | None:
    """True if it is true for any rank; else None if it is unknown for one."""
    found = set(answers)
    return True if True in found else None if None in found else False
