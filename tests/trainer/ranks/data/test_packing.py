# SPDX-License-Identifier: Apache-2.0
"""Rows combined into packs."""

from pathlib import Path

import pytest

from trainer.in_process import train
from trainer.prepared_data import data_of, prepare, said

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

SHORT = [{"text": f"Row number {number} of the log."} for number in range(9)]
LONG = {"text": "and the boat sails on " * 12}


def test_packs_contain_complete_rows_that_do_not_attend_to_each_other(
    tmp_path: Path, tiny_model: Path
) -> None:
    rows = data_of(tmp_path, SHORT)
    losses = {}
    for packing in (False, True):
        place = tmp_path / str(packing)
        trained = train(
            place,
            tiny_model,
            rows,
            packing=packing,
            max_steps=1,
            per_device_train_batch_size=len(SHORT),
        )
        losses[packing] = trained.losses()[0]

    # If a row attended to the one before it in the pack, its loss would differ.
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)


def test_bfd_packs_train_only_answers_and_restart_positions_for_each_row(
    tmp_path: Path, tiny_model: Path
) -> None:
    pairs = [{"prompt": f"{n}?", "completion": f" {n}!"} for n in range(4)]

    prepared = prepare(tmp_path, tiny_model, pairs, packing=True, max_length=64)

    (trained,) = prepared.trained()
    assert sorted(trained.split("<|im_end|>")[:-1]) == [" 0!", " 1!", " 2!", " 3!"]
    starts = (prepared.batch()["position_ids"] == 0).sum()
    assert starts == 4


def test_wrapped_packs_are_full_and_lose_no_token(tmp_path: Path, tiny_model: Path) -> None:
    rows = [*SHORT, LONG]

    packed = prepare(
        tmp_path, tiny_model, rows, packing=True, packing_strategy="wrapped", max_length=16
    )

    lengths = [len(pack) for pack in packed.tokens()]
    assert lengths[:-1] == [16] * (len(lengths) - 1)
    account = packed.trainer.accounts["train"]
    assert account.tokens == sum(lengths)
    assert (account.truncated, account.tokens_cut) == (0, 0)
    assert account.trained_tokens == account.tokens - len(lengths)


@pytest.mark.parametrize(
    ("strategy", "is_cut"), [("bfd", True), ("bfd_split", False)], ids=["bfd", "bfd_split"]
)
def test_a_row_longer_than_a_pack_is_cut_or_split_and_the_account_shows_which(
    tmp_path: Path, tiny_model: Path, strategy: str, is_cut: bool
) -> None:
    packed = prepare(
        tmp_path, tiny_model, [*SHORT, LONG], packing=True, packing_strategy=strategy, max_length=16
    )

    account = packed.trainer.accounts["train"]
    assert account.truncated == (1 if is_cut else 0)
    assert bool(account.tokens_cut) is is_cut
    assert account.tokens == sum(len(pack) for pack in packed.tokens())
    assert account.lengths is not None
    assert account.lengths.maximum > 16


def test_a_conversation_that_would_be_cut_before_its_answer_is_not_packed(
    tmp_path: Path, tiny_model: Path
) -> None:
    from finetune_trainer.inputs.chat_templates import file_of

    packed = prepare(
        tmp_path,
        tiny_model,
        [said("Hello?", "Ahoy."), said("a long story " * 30, "I see.")],
        packing=True,
        max_length=32,
        assistant_only_loss=True,
        chat_template_path=str(file_of("chatml")),
    )

    assert packed.trained() == ["Ahoy.<|im_end|>"]
    assert packed.trainer.accounts["train"].dropped == {"prompt fills max_length": 1}
