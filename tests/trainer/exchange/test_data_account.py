# SPDX-License-Identifier: Apache-2.0
"""The messages for a user about the rows of their data."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.exchange.data_account import (
    MOST_BUCKETS,
    DataAccount,
    Packing,
    SplitAccount,
    measure_lengths,
)
from trainer.in_process import Trained, train
from trainer.runs import a_folder


@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param([7], id="one row"),
        pytest.param([0, 1, 2, 3], id="empty and short rows"),
        pytest.param(list(range(1, 2000)), id="all lengths"),
        pytest.param([20, 30, 100_000], id="one row much longer than the others"),
        pytest.param([1, 1_000_000], id="two rows far apart"),
        pytest.param([999, 1000, 1001], id="rows of about one length"),
    ],
)
def test_every_row_is_in_one_bucket_of_a_bounded_histogram(lengths: list[int]) -> None:
    found = measure_lengths(lengths, [2] * len(lengths))

    assert found is not None
    assert sum(found.counts) == 2 * len(lengths)
    assert len(found.counts) == len(found.edges) - 1 <= MOST_BUCKETS
    assert list(found.edges) == sorted(set(found.edges))
    assert found.edges[0] <= min(lengths)
    assert max(lengths) < found.edges[-1]


def test_a_few_long_rows_do_not_hide_the_distribution_of_the_others() -> None:
    found = measure_lengths([*range(10, 110), 50_000], [1] * 101)

    assert found is not None
    assert max(found.counts) <= 10


def test_median_and_p95_are_lengths_of_actual_rows() -> None:
    found = measure_lengths(list(range(1, 101)), [1] * 100)

    assert found is not None
    assert (found.minimum, found.median, found.p95, found.maximum) == (1, 50, 95, 100)


def test_an_account_is_read_back_unchanged() -> None:
    account = DataAccount(
        splits={
            "train": SplitAccount(
                rows=10,
                dropped={"missing value": 2},
                truncated=1,
                tokens_cut=30,
                tokens=900,
                trained_tokens=400,
                lengths=measure_lengths([5, 9], [4, 4]),
                packing=Packing(packs=3, efficiency=0.75),
            ),
            "test": SplitAccount(note="a stream"),
        },
        warnings=("2 of 10 rows of train are left out: missing value",),
    )

    assert DataAccount.from_json(account.to_json()) == account


ROWS = [
    {"prompt": "What time is it?", "completion": " Seven in the morning."},
    {"prompt": "And now?", "completion": " Eight, and the boat is gone, and so is the soup."},
    {"prompt": "a question so long that nothing is left " * 4, "completion": " Yes."},
    {"prompt": "", "completion": " Hello there."},
]
"""The third one's prompt is longer than 24 tokens; the others are shorter."""


def _data(place: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return a_folder(place / "data", {"train.jsonl": text.encode()})


def _account(trained: Trained) -> DataAccount:
    assert trained.outcome.failure is None, trained.words()
    return DataAccount.from_json((trained.report / "data.json").read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True], ids=["one by one", "packed"])
def test_a_row_whose_prompt_fills_max_length_is_omitted_and_counted(
    tmp_path: Path, tiny_model: Path, packing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = [ROWS[0], ROWS[1], ROWS[2]]

    trained = train(tmp_path, tiny_model, _data(tmp_path, rows), max_length=24, packing=packing)

    account = _account(trained)
    assert account.splits["train"].rows == 3
    assert account.splits["train"].dropped == {"prompt fills max_length": 1}
    assert account.warnings[0] == "1 of 3 rows of train are left out: prompt fills max_length"
    assert "split=train rows=3 dropped=1 truncated=0" in caplog.text
    assert trained.outcome.figures is not None
    assert trained.outcome.figures["rows_dropped"] == 1
    assert all(loss > 0 for loss in trained.losses())


@pytest.mark.slow
def test_tokens_are_counted_before_and_after_truncation(tmp_path: Path, tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    texts = ["one two three", "the boat casts off at seven in the morning and nobody waits"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    lengths = sorted(len(tokenizer(text)["input_ids"]) + 1 for text in texts)
    data = _data(tmp_path, [{"text": text} for text in texts])

    trained = train(tmp_path, tiny_model, data, max_length=8)

    split = _account(trained).splits["train"]
    assert (split.truncated, split.tokens_cut) == (1, lengths[1] - 8)
    assert split.tokens == lengths[0] + 8
    assert split.trained_tokens == split.tokens - 2, "nothing comes before a row's first token"
    assert split.lengths is not None
    assert (split.lengths.minimum, split.lengths.maximum) == (lengths[0], lengths[1])
    assert sum(split.lengths.counts) == 2


@pytest.mark.slow
def test_a_packed_run_reports_the_fill_ratio_of_its_packs(tmp_path: Path, tiny_model: Path) -> None:
    data = _data(tmp_path, [{"text": "four words or so"}] * 12)

    trained = train(tmp_path, tiny_model, data, max_length=16, packing=True)

    split = _account(trained).splits["train"]
    assert split.packing is not None
    assert split.packing.packs < 12
    assert split.packing.efficiency == pytest.approx(
        (split.tokens or 0) / (split.packing.packs * 16), abs=1e-4
    )


@pytest.mark.slow
def test_the_evaluation_split_has_its_own_account(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, eval_strategy="steps", eval_steps=1)

    account = _account(trained)
    assert (account.splits["train"].rows, account.splits["test"].rows) == (4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True], ids=["one by one", "packed"])
def test_a_streams_rows_are_reported_as_unknown(
    tmp_path: Path, tiny_model: Path, packing: bool
) -> None:
    data = _data(tmp_path, [ROWS[2], *ROWS[:2] * 8])

    trained = train(
        tmp_path, tiny_model, data, dataset_streaming=True, packing=packing, max_length=24
    )

    split = _account(trained).splits["train"]
    assert split.rows is None
    assert "stream" in split.note
    assert all(loss > 0 for loss in trained.losses())


@pytest.mark.slow
def test_every_remaining_row_is_trained_in_the_order_of_trl(
    tmp_path: Path, tiny_model: Path
) -> None:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from finetune_trainer.ranks.data.preparation import AccountingTrainer

    rows = Dataset.from_list([ROWS[i % 2] for i in range(40)])
    prepared = {}
    for packing, max_length in ((False, 10), (True, 24)):
        for kind in (SFTTrainer, AccountingTrainer):
            args = SFTConfig(
                output_dir=str(tmp_path),
                use_cpu=True,
                bf16=False,
                max_length=max_length,
                packing=packing,
                shuffle_dataset=True,
                report_to="none",
            )
            tokenizer = AutoTokenizer.from_pretrained(tiny_model)
            trainer = kind(
                str(tiny_model), args=args, train_dataset=rows, processing_class=tokenizer
            )
            prepared[kind] = trainer.train_dataset

        assert prepared[AccountingTrainer].to_list() == prepared[SFTTrainer].to_list()
