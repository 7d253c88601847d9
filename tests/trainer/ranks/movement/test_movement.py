# SPDX-License-Identifier: Apache-2.0
"""An unchanged trained tensor: when it is a failure, and when it is a note."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.ranks.movement.account import (
    Account,
    Gradient,
    Tensor,
    saved_name,
    together,
)
from finetune_trainer.ranks.movement.fates import Fate, fate_of, note_of, require_all_moved

MATRIX = 1e-6
"""The smallest magnitude in a matrix of random weights."""
NORM = 1.0
"""The value of a norm whose weights are all one."""


def a_tensor(name: str = "layer.weight", **known: Any) -> Tensor:
    """An unchanged one, although it had a gradient."""
    usual = {
        "dtype": "float32",
        "has_moved": False,
        "is_published_moved": False,
        "gradient": Gradient.NONZERO,
        "is_on_path": True,
        "smallest": MATRIX,
    }
    return Tensor(name=name, **{**usual, **known})


def an_account(*tensors: Tensor, **known: Any) -> Account:
    return Account(
        **{"tensors": tensors, "learning_rate": 2e-5, "optimizer": "adamw_torch", **known}
    )


MOVED = a_tensor("other.weight", has_moved=True, is_published_moved=True)


@pytest.mark.parametrize(
    ("known", "fate"),
    [
        pytest.param({"has_moved": True}, Fate.MOVED, id="it moved"),
        pytest.param({"has_moved": None}, Fate.UNKNOWN, id="nobody knows"),
        pytest.param({}, Fate.SKIPPED, id="a matrix in float32 with a gradient"),
        pytest.param({"dtype": "bfloat16"}, Fate.ROUNDED, id="in bfloat16"),
        pytest.param({"dtype": "float16"}, Fate.ROUNDED, id="in float16"),
        pytest.param({"dtype": "float8_e4m3fn"}, Fate.ROUNDED, id="in a dtype that is not known"),
        pytest.param(
            {"dtype": "bfloat16", "began_at_zero": True, "smallest": 0.0},
            Fate.SKIPPED,
            id="in bfloat16, from zero",
        ),
        pytest.param({"smallest": NORM}, Fate.SKIPPED, id="a norm in float32"),
        pytest.param(
            {"smallest": NORM, "rate": 1e-6}, Fate.ROUNDED, id="a norm in float32, a low rate"
        ),
        pytest.param(
            {"smallest": NORM, "optimizer": "sgd"}, Fate.ROUNDED, id="a norm in float32, SGD"
        ),
        pytest.param({"rate": 0.0}, Fate.ROUNDED, id="a learning rate of zero"),
        pytest.param(
            {"dtype": "float16", "began_at_zero": True, "smallest": 0.0, "rate": 1e-7},
            Fate.ROUNDED,
            id="in float16, from zero, less than its smallest number",
        ),
        pytest.param({"gradient": Gradient.ZERO}, Fate.ZERO_GRADIENT, id="gradients of zero"),
        pytest.param({"gradient": Gradient.NEVER}, Fate.UNREACHED, id="detached from its module"),
        pytest.param(
            {"gradient": Gradient.NEVER, "dtype": "bfloat16"},
            Fate.UNREACHED,
            id="detached from its module, in bfloat16",
        ),
        pytest.param(
            {"gradient": Gradient.NEVER, "is_on_path": False}, Fate.IDLE, id="a vision tower"
        ),
        pytest.param({"gradient": Gradient.UNKNOWN}, Fate.UNEXPLAINED, id="a compiled model"),
        pytest.param(
            {"name": "q.lora_A.default.weight", "gradient": Gradient.ZERO},
            Fate.EXCUSED,
            id="lora_A after one step",
        ),
        pytest.param(
            {"name": "q.lora_A.default.weight"}, Fate.SKIPPED, id="lora_A that had a gradient"
        ),
        pytest.param(
            {"name": "q.lora_B.default.weight", "gradient": Gradient.ZERO, "began_at_zero": True},
            Fate.ZERO_GRADIENT,
            id="lora_B without a gradient",
        ),
    ],
)
def test_the_reason_why_a_tensor_has_not_changed_is_found(
    known: dict[str, Any], fate: Fate
) -> None:
    known = dict(known)
    rate, optimizer = known.pop("rate", 2e-5), known.pop("optimizer", "adamw_torch")
    account = an_account(learning_rate=rate, optimizer=optimizer)

    assert fate_of(a_tensor(**known), account) is fate


def test_weights_that_were_not_trained_are_a_failure_with_their_names() -> None:
    skipped = [a_tensor(f"layers.{number}.weight") for number in range(5)]
    detached = a_tensor("head.weight", gradient=Gradient.NEVER)

    with pytest.raises(AttemptFailed) as caught:
        require_all_moved(an_account(MOVED, *skipped, detached))

    failure = caught.value.failure
    assert (failure.reason, failure.category) == ("WeightsUnmoved", Category.USER)
    assert failure.message == (
        "6 of 7 trained tensors are unchanged from the base model, although their layers took "
        "part in training. their layers received gradients, but they did not: head.weight; they "
        "received a gradient, but the optimizer did not change them: layers.0.weight, "
        "layers.1.weight, layers.2.weight and 2 more"
    )


@pytest.mark.parametrize(
    "tensors",
    [
        pytest.param([MOVED], id="all moved"),
        pytest.param([], id="not observed"),
        pytest.param([MOVED, a_tensor(dtype="bfloat16")], id="rounded away"),
        pytest.param(
            [MOVED, a_tensor(gradient=Gradient.NEVER, is_on_path=False)], id="took no part"
        ),
        pytest.param([a_tensor(), a_tensor("b")], id="none changed, according to the files"),
    ],
)
def test_a_valid_run_is_not_refused(tensors: list[Tensor]) -> None:
    require_all_moved(an_account(*tensors))


@pytest.mark.parametrize(
    ("tensors", "note"),
    [
        pytest.param([MOVED], "", id="all moved"),
        pytest.param(
            [MOVED, a_tensor("a", dtype="bfloat16"), a_tensor("b", dtype="bfloat16")],
            "2 of 3 trained tensors did not change: their updates round to nothing in bfloat16; "
            "set dtype: float32",
            id="rounded away",
        ),
        pytest.param(
            [MOVED, a_tensor("norm", smallest=1e3)],
            "1 of 2 trained tensors did not change: their updates round to nothing in float32; "
            "raise learning_rate",
            id="rounded away in float32",
        ),
        pytest.param(
            [MOVED, a_tensor("tower.weight", gradient=Gradient.NEVER, is_on_path=False)],
            "1 of 2 trained tensors took no part in training, such as tower.weight",
            id="took no part",
        ),
        pytest.param(
            [
                MOVED,
                a_tensor("router.weight", gradient=Gradient.ZERO),
                a_tensor("x", gradient=Gradient.UNKNOWN),
            ],
            "1 of 3 trained tensors did not change: their gradient was zero at every step, such as "
            "router.weight; 1 of 3 trained tensors did not change, such as x",
            id="of two kinds",
        ),
        pytest.param(
            [MOVED, a_tensor("q.lora_A.default.weight", gradient=Gradient.ZERO)],
            "",
            id="lora_A after one step",
        ),
    ],
)
def test_a_success_notes_the_unchanged_weights(tensors: list[Tensor], note: str) -> None:
    assert note_of(an_account(*tensors)) == note


def test_a_sharded_tensor_has_changed_if_one_shard_has() -> None:
    here = a_tensor(gradient=Gradient.NEVER, is_on_path=False, began_at_zero=True, smallest=0.5)
    there = a_tensor(has_moved=True, is_published_moved=True)

    (tensor,) = together([an_account(here), an_account(there)]).tensors

    assert (tensor.has_moved, tensor.is_published_moved) == (True, True)
    assert (tensor.gradient, tensor.is_on_path) == (Gradient.NONZERO, True)
    assert (tensor.began_at_zero, tensor.smallest) == (False, MATRIX)


def test_a_tensor_unknown_to_one_rank_is_not_reported_as_unchanged() -> None:
    here, there = a_tensor(), replace(a_tensor(), has_moved=None)

    (tensor,) = together([an_account(here), an_account(there)]).tensors

    assert tensor.has_moved is None


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("model.layers.0.mlp.weight", "model.layers.0.mlp.weight"),
        ("module.model.norm.weight", "model.norm.weight"),
        ("_fsdp_wrapped_module.model.norm.weight", "model.norm.weight"),
        ("model._orig_mod.norm.weight", "model.norm.weight"),
        ("layers.0._checkpoint_wrapped_module.norm.weight", "layers.0.norm.weight"),
        ("model.q_proj.lora_B.default.weight", "model.q_proj.lora_B.weight"),
        ("model.lora_embedding_A.default", "model.lora_embedding_A"),
        ("lm_head.modules_to_save.default.weight", "lm_head.weight"),
    ],
)
def test_a_tensor_is_identified_by_its_saved_name(name: str, saved: str) -> None:
    assert saved_name(name) == saved
