# SPDX-License-Identifier: Apache-2.0
"""The output of a failing rank: a result for the user, and a log for developers."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.exchange.rank_results import RankResult
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import Stage
from finetune_trainer.ranks import rank
from finetune_trainer.ranks.classifying import classifying


def fail_while_loading_data(
    error: Exception, place: Path, monkeypatch: pytest.MonkeyPatch
) -> RankResult:
    """The result of a rank whose dataset cannot be loaded, for this reason."""

    def train(*_: object) -> RankResult:
        with classifying(Stage.DATA):
            raise error

    # It replaces the real one, whose import of torch takes a quarter of a minute.
    training = ModuleType("finetune_trainer.ranks.training")
    monkeypatch.setattr(training, "train", train, raising=False)
    monkeypatch.setitem(sys.modules, training.__name__, training)
    monkeypatch.setattr(rank, "die_with_parent", lambda: None)
    monkeypatch.setattr(rank, "excluded_packages", lambda *_: ())
    workspace = Workspace(root=place)
    workspace.rank_settings.write_text(RankSettings(world_size=1).to_json())
    workspace.config.write_text("{}")

    assert rank.main(workspace, 0) == 1
    return RankResult.from_json(workspace.result(0).read_bytes())


def test_an_error_that_only_code_can_cause_keeps_its_traceback_and_is_not_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = AttributeError("'NoneType' object has no attribute 'features'")

    result = fail_while_loading_data(error, tmp_path, monkeypatch)

    assert result.failure is not None
    assert result.failure.category is Category.INTERNAL
    assert "AttributeError: 'NoneType' object has no attribute" in caplog.text
    assert f'{Path(__file__).name}", line' in caplog.text


def test_an_error_that_data_can_cause_is_a_user_error_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    result = fail_while_loading_data(ValueError("row 3 is cut off"), tmp_path, monkeypatch)

    assert result.failure is not None
    assert (result.failure.category, result.failure.reason) == (Category.USER, "InvalidDataset")
    assert "Traceback" not in caplog.text
