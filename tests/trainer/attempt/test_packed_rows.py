# SPDX-License-Identifier: Apache-2.0
"""Complete attempts with models that mix the rows of a pack: refused before anything is loaded, or
before the first step if the model was not measured.
"""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_contract.outcome import Category
from finetune_spec.base_model import packed_rows
from support.long_form import keeping
from trainer.in_process import Trained, train
from trainer.prepared_data import data_of
from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

ROWS = [{"text": f"Row {n} of the log" + ", and on it goes" * (n % 5)} for n in range(12)]
WHOLE: dict[str, Any] = {"use_peft": False, "lora_r": None}
PACKED = {**WHOLE, "packing": True}

nobody_has_measured = mock.patch.object(packed_rows, "_table", return_value=({}, {}))


def refusal(trained: Trained) -> str:
    assert trained.outcome.failure is not None
    assert trained.outcome.failure.category is Category.USER
    return trained.words()


@pytest.fixture(scope="module")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_model(tmp_path_factory.mktemp("mamba"), "mamba", state_size=8)


def test_a_model_whose_packed_rows_mix_is_refused_before_it_is_loaded(
    tmp_path: Path, mamba: Path
) -> None:
    from finetune_trainer.ranks import training

    with mock.patch.object(training, "build_trainer", side_effect=AssertionError("it was loaded")):
        refused = train(tmp_path / "a", mamba, data_of(tmp_path / "a", ROWS), **PACKED)
    trained = train(tmp_path / "b", mamba, data_of(tmp_path / "b", ROWS), **WHOLE)

    assert 'packing: found true, but models of type "mamba" do not keep the rows' in refusal(
        refused
    )
    assert trained.outcome.failure is None, trained.words()


@nobody_has_measured
def test_an_unmeasured_model_is_tested_before_the_first_step(
    table: mock.Mock, tmp_path: Path, mamba: Path
) -> None:
    trained = train(tmp_path, mamba, data_of(tmp_path, ROWS), **PACKED)

    words = refusal(trained)
    assert "packing: found true, but the model (of type mamba) does not keep the rows of a" in words
    assert "leave packing out, so that rows are padded" in words
    assert table.called


@pytest.mark.parametrize("tuning", [WHOLE, {}], ids=["whole", "adapter"])
@pytest.mark.parametrize("named", keeping(("eager",), [None, "eager"]))
def test_an_unmeasured_model_that_isolates_rows_trains_like_a_measured_one(
    tmp_path: Path, tiny_model: Path, named: str | None, tuning: dict[str, Any]
) -> None:
    config = {**tuning, "packing": True, "attn_implementation": named}
    known = train(tmp_path / "known", tiny_model, data_of(tmp_path / "known", ROWS), **config)
    with nobody_has_measured:
        data = data_of(tmp_path / "tried", ROWS)
        tried = train(tmp_path / "tried", tiny_model, data, **config)

    assert tried.outcome.failure is None, tried.words()
    assert tried.losses() == known.losses()


@nobody_has_measured
def test_a_model_that_cannot_compute_packed_rows_is_refused_with_a_remedy(
    table: mock.Mock, tmp_path: Path, tiny_model: Path
) -> None:
    from transformers import LlamaForCausalLM

    def forward(self: Any, input_ids: Any, attention_mask: Any = None, labels: Any = None) -> Any:
        raise AssertionError("it was called with what it does not take")

    with mock.patch.object(LlamaForCausalLM, "forward", forward):
        trained = train(tmp_path, tiny_model, data_of(tmp_path, ROWS), **PACKED)

    assert "packing: found true, but the model (of type llama) does not support packing" in (
        refusal(trained)
    )
    assert table.called
