# SPDX-License-Identifier: Apache-2.0
"""Why a trained tensor is unchanged, and whether that is a failure. No I/O, no torch here."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.movement.account import Account, Gradient, Tensor

_NAMED = 3

_PRECISION = {
    "float64": (2.0**-53, 0.0),
    "float32": (2.0**-24, 2.0**-150),
    "bfloat16": (2.0**-8, 2.0**-134),
    "float16": (2.0**-11, 2.0**-25),
}
"""Changes that are lost next to a number: a share of it, and an absolute amount."""
_HALF = ("bfloat16", "float16")

_SHARE_OF_ADAM = 1e-2
_SHARE_OF_OTHERS = 1e-6
"""The minimum share of the learning rate in the largest update of a tensor. Adam's is about all of
it; others' is in proportion to gradients.
"""


class Fate(StrEnum):
    """The classification of a tensor."""

    MOVED = "moved"
    UNKNOWN = "unknown"
    EXCUSED = "excused"
    """One half of a LoRA is trained only after the other has left zero, a step later."""
    UNREACHED = "unreached"
    """The gradient passed through its module but did not reach the tensor: a failure."""
    SKIPPED = "skipped"
    """It had a gradient, and the optimizer has not changed it: a failure."""
    ROUNDED = "rounded"
    """Its updates may be too small for its dtype."""
    ZERO_GRADIENT = "zero gradient"
    IDLE = "idle"
    """Its module was not used: a vision tower with rows of text, an unselected expert."""
    UNEXPLAINED = "unexplained"
    """It could not be observed, as in compiled models, or there was no step to observe."""


FAILURES = (Fate.UNREACHED, Fate.SKIPPED)


def fate_of(tensor: Tensor, account: Account) -> Fate:
    """Precedence: changed or unknown tensors; then by what was seen of the gradient."""
    if tensor.has_moved is not False:
        return Fate.MOVED if tensor.has_moved else Fate.UNKNOWN
    match tensor.gradient:
        case Gradient.NONZERO:
            return Fate.ROUNDED if _may_round(tensor, account) else Fate.SKIPPED
        case Gradient.ZERO:
            is_waiting = "lora_" in tensor.name and not tensor.began_at_zero
            return Fate.EXCUSED if is_waiting else Fate.ZERO_GRADIENT
        case Gradient.NEVER:
            return Fate.UNREACHED if tensor.is_on_path else Fate.IDLE
    return Fate.UNEXPLAINED


def _may_round(tensor: Tensor, account: Account) -> bool:
    """Whether updates of this learning rate can be lost in the tensor's dtype.

    In 16 bits they can, unless the tensor began at zero, where nothing is lost.
    """
    if tensor.dtype not in _PRECISION or (tensor.dtype in _HALF and not tensor.began_at_zero):
        return True
    relative, absolute = _PRECISION[tensor.dtype]
    is_steady = any(word in account.optimizer for word in ("adam", "lion"))
    update = account.learning_rate * (_SHARE_OF_ADAM if is_steady else _SHARE_OF_OTHERS)
    return update <= max(tensor.smallest * relative, absolute)


def require_all_moved(account: Account) -> None:
    """
    Raises:
        AttemptFailed: a tensor had to change and has not. The case that none has is checked in the
          files.
    """
    fates = [fate_of(tensor, account) for tensor in account.tensors]
    if Fate.MOVED not in fates or not set(fates) & set(FAILURES):
        return
    causes = {
        Fate.UNREACHED: "their layers received gradients, but they did not",
        Fate.SKIPPED: "they received a gradient, but the optimizer did not change them",
    }
    told = [
        f"{cause}: {_some(names)}"
        for fate, cause in causes.items()
        if (names := _of(fate, fates, account))
    ]
    count = sum(fate in FAILURES for fate in fates)
    raise attempt_failed(
        Reason.WEIGHTS_UNMOVED,
        f"{count} of {len(fates)} trained tensors are unchanged from the base model, although "
        f"their layers took part in training. {'; '.join(told)}",
        "try another optim or accelerate_config, and report it: the model's code or the "
        "optimizer skips these weights",
    )


def note_of(account: Account) -> str:
    """A note about unchanged tensors in a valid run; usually empty."""
    fates = [fate_of(tensor, account) for tensor in account.tensors]
    return "; ".join(
        f"{len(names)} of {len(fates)} trained tensors {say(names, account)}"
        for fate, say in _NOTES.items()
        if (names := _of(fate, fates, account))
    )


def _rounded(names: Sequence[str], account: Account) -> str:
    dtypes = {tensor.dtype for tensor in account.tensors if tensor.name in set(names)}
    dtype = min(dtypes)
    remedy = "set dtype: float32" if dtype in _HALF else "raise learning_rate"
    return f"did not change: their updates round to nothing in {dtype}; {remedy}"


_NOTES: dict[Fate, Callable[[Sequence[str], Account], str]] = {
    Fate.ROUNDED: _rounded,
    Fate.IDLE: lambda names, _: f"took no part in training, such as {names[0]}",
    Fate.ZERO_GRADIENT: lambda names, _: (
        f"did not change: their gradient was zero at every step, such as {names[0]}"
    ),
    Fate.UNEXPLAINED: lambda names, _: f"did not change, such as {names[0]}",
}


def _of(fate: Fate, fates: Sequence[Fate], account: Account) -> list[str]:
    return [
        tensor.name for tensor, found in zip(account.tensors, fates, strict=True) if found is fate
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
