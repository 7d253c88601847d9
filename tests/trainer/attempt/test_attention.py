# SPDX-License-Identifier: Apache-2.0
"""Complete attempts: with any `attn_implementation`, packs are trained correctly, and the report
names the attention.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from support.long_form import keeping
from trainer.in_process import Trained, a_run, carry_out_here, train
from trainer.prepared_data import data_of
from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

ROWS = [{"text": f"Row {n} of the log" + ", and on it goes" * (n % 5)} for n in range(24)]
PACKED: dict[str, Any] = {"packing": True, "max_steps": 4, "use_peft": False, "lora_r": None}


def told(trained: Trained) -> str:
    """The attention in the report."""
    page = (trained.report / "report.html").read_text()
    _, _, after = page.partition(">Attention</th><td>")
    return after.partition("</td>")[0].replace("&#39;", "'")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Trained:
    """Trained with transformers' own code and a mask of all pairs of tokens."""
    place = tmp_path_factory.mktemp("masked")
    trained = train(place, tiny_model, data_of(place, ROWS), **PACKED, attn_implementation="eager")
    assert told(trained) == "eager: as set by attn_implementation"
    return trained


@pytest.mark.parametrize(
    "how",
    keeping(
        ("flash attention 2",),
        [
            pytest.param({}, id="nothing said"),
            pytest.param({"attn_implementation": "sdpa"}, id="sdpa"),
            pytest.param({"attn_implementation": "flash_attention_2"}, id="flash attention 2"),
            pytest.param(
                {"model_init_kwargs": {"attn_implementation": "flash_attention_2"}},
                id="by model_init_kwargs",
            ),
            pytest.param(
                {"attn_implementation": "flash_attention_2", "activation_checkpointing": False},
                id="nothing recomputed",
            ),
        ],
    ),
)
def test_packed_rows_give_the_same_losses_with_every_attention(
    tmp_path: Path,
    tiny_model: Path,
    masked: Trained,
    how: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from finetune_trainer.ranks.attention import varlen

    no_mask = mock.patch.object(varlen, "sdpa_mask", side_effect=AssertionError("a mask was made"))
    with caplog.at_level(logging.INFO), no_mask:
        trained = train(tmp_path, tiny_model, data_of(tmp_path, ROWS), **PACKED, **how)

    assert trained.outcome.failure is None, trained.words()
    assert len(masked.losses()) == 4
    assert trained.losses() == pytest.approx(masked.losses(), rel=1e-5)
    norms = [
        [record["grad_norm"] for record in each.records() if "grad_norm" in record]
        for each in (trained, masked)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    taken = "torch_varlen: rows are flat, so torch's sdpa processes one sequence at a time"
    assert told(trained) == taken
    assert f"attention {taken}" in caplog.messages


def test_packed_rows_are_evaluated_as_trained_and_answers_are_generated(
    tmp_path: Path, tiny_model: Path
) -> None:
    found = {}
    for named in ("eager", "flash_attention_2"):
        place = tmp_path / named
        data = data_of(place, ROWS)
        (data / "test.jsonl").write_text((data / "train.jsonl").read_text())
        found[named] = train(
            place,
            tiny_model,
            data,
            **PACKED,
            attn_implementation=named,
            eval_strategy="steps",
            eval_steps=2,
            num_eval_samples=2,
        )
    losses = [
        [record["eval_loss"] for record in each.records() if "eval_loss" in record]
        for each in found.values()
    ]
    answers = [(each.report / "samples.json").read_text() for each in found.values()]

    assert len(losses[0]) > 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert answers[0] == answers[1]


def test_padded_rows_use_sdpa_where_flash_attention_is_named(
    tmp_path: Path, tiny_model: Path
) -> None:
    data = data_of(tmp_path, ROWS)
    named = train(tmp_path / "a", tiny_model, data, attn_implementation="flash_attention_2")
    plain = train(tmp_path / "b", tiny_model, data)

    assert named.outcome.failure is None, named.words()
    assert named.losses() == plain.losses()
    assert told(named) == "sdpa: rows are padded; packing: true would make them flat"


def test_a_model_with_soft_capped_scores_trains_as_with_its_own_code(tmp_path: Path) -> None:
    model = a_model(tmp_path / "gemma", "gemma2", head_dim=8, sliding_window=8)
    data = data_of(tmp_path, ROWS)
    losses = {}
    for named in (None, "sdpa", "flash_attention_2", "eager"):
        trained = train(tmp_path / str(named), model, data, **PACKED, attn_implementation=named)
        assert trained.outcome.failure is None, trained.words()
        losses[named] = trained.losses()

    assert losses[None] == losses["sdpa"] == losses["flash_attention_2"] == losses["eager"]


def test_an_adapter_on_padding_free_rows_gives_the_same_losses(
    tmp_path: Path, tiny_model: Path
) -> None:
    data = data_of(tmp_path, ROWS)
    found = []
    for named in ("eager", None):
        place = tmp_path / str(named)
        run = a_run(place, tiny_model, data, padding_free=True, attn_implementation=named)
        whole = {**run.config, "max_length": None, "lora_dropout": 0.0}
        found.append(carry_out_here(replace(run, config=whole), place))

    assert found[1].losses() == pytest.approx(found[0].losses(), rel=1e-5)
    assert told(found[1]).startswith("torch_varlen: rows are flat")
