# SPDX-License-Identifier: Apache-2.0
"""A rank's steps except training: config, data, world, verification. Imports torch."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from finetune_contract.outcome import Category
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.failures.errors import AttemptFailed, Stage
from testbed import base_model
from trainer.runs import a_folder

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

ROW = b'{"text": "Hello"}\n'


@pytest.fixture(scope="module")
def ranks() -> SimpleNamespace:
    """The tested functions of a rank."""
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.building import build_trainer
    from finetune_trainer.ranks.data.loading import load_data
    from finetune_trainer.ranks.training import classifying
    from finetune_trainer.ranks.world import require_promised_world

    return SimpleNamespace(
        read_arguments=read_arguments,
        build_trainer=build_trainer,
        load_data=load_data,
        classifying=classifying,
        require_promised_world=require_promised_world,
    )


def arguments(ranks: Any, place: Path, data: Mapping[str, bytes], **config: Any) -> Any:
    """The arguments of a config for this dataset."""
    settings = {
        "model_name_or_path": "unused",
        "dataset_name": str(a_folder(place / "data", data)),
        "output_dir": str(place / "training"),
        "use_cpu": True,
        "bf16": False,
        **config,
    }
    (place / "config.yaml").write_text(yaml.safe_dump(settings))
    return ranks.read_arguments(place / "config.yaml")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({"learning_rte": 1e-4}, "learning_rte", id="unknown key"),
        pytest.param({"max_steps": "many"}, "many", id="no number"),
        pytest.param({"eval_strategy": "sometimes"}, "sometimes", id="no such choice"),
        pytest.param(
            {"load_best_model_at_end": True}, "load_best_model_at_end", id="keys that do not fit"
        ),
    ],
)
def test_a_config_refused_by_trls_parser_is_a_user_error_in_one_sentence(
    ranks: Any, tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(AttemptFailed) as caught, ranks.classifying(Stage.CONFIG):
        arguments(ranks, tmp_path, {"train.jsonl": ROW}, **config)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "InvalidConfig")
    assert words in failure.message
    assert "usage:" not in failure.message


@pytest.mark.parametrize(
    ("data", "config", "reason", "words"),
    [
        pytest.param(
            {"train.jsonl": ROW},
            {"dataset_train_split": "training"},
            "SplitNotFound",
            "the dataset has only train",
            id="no such split",
        ),
        pytest.param(
            {"train.jsonl": ROW},
            {"eval_strategy": "epoch"},
            "SplitNotFound",
            "dataset_test_split is test",
            id="evaluation without a test split",
        ),
        pytest.param(
            {"notes.md": b"#"}, {}, "DatasetNotFound", "only notes.md", id="no data files"
        ),
        pytest.param(
            {"train.jsonl": b"{"},
            {},
            "InvalidDataset",
            "train.jsonl, line 1 is not JSON",
            id="no JSON",
        ),
        pytest.param(
            {"train.jsonl": b'{"question": "?", "answer": "!"}'},
            {},
            "DatasetColumnMissing",
            "the columns question, answer",
            id="columns of another shape",
        ),
        pytest.param(
            {"train.jsonl": b'{"body": "?"}'},
            {"dataset_text_field": "bdoy"},
            "DatasetColumnMissing",
            "or on bdoy",
            id="another text field",
        ),
    ],
)
def test_unusable_data_are_a_user_error(
    ranks: Any,
    tmp_path: Path,
    data: dict[str, bytes],
    config: dict[str, Any],
    reason: str,
    words: str,
) -> None:
    parsed = arguments(ranks, tmp_path, data, **config)

    with pytest.raises(AttemptFailed) as caught, ranks.classifying(Stage.DATA):
        ranks.load_data(parsed)

    assert (caught.value.failure.category, caught.value.failure.reason) == (Category.USER, reason)
    assert words in caught.value.failure.message


@pytest.mark.parametrize("packing", [False, True])
def test_data_without_a_trainable_token_are_refused_before_training(
    ranks: Any, tmp_path: Path, packing: bool
) -> None:
    row = b'{"prompt": "a prompt that fills the whole length", "completion": "x"}\n'
    parsed = arguments(
        ranks,
        tmp_path,
        {"train.jsonl": row},
        model_name_or_path=str(base_model.folder()),
        max_length=4,
        packing=packing,
    )
    dataset = ranks.load_data(parsed).dataset

    with pytest.raises(AttemptFailed) as caught:
        ranks.build_trainer(parsed, dataset)

    assert caught.value.failure.reason == "NothingTrained"
    assert "1 row whose prompt fills max_length (4; the longest row has" in str(caught.value)


def test_an_unexpected_world_size_fails_before_the_model_is_loaded(ranks: Any) -> None:
    with pytest.raises(AttemptFailed, match=r"4 processes were expected .* 1 do") as caught:
        ranks.require_promised_world(SimpleNamespace(world_size=1), RankSettings(world_size=4))

    assert caught.value.failure.reason == "WorldSizeMismatch"


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        pytest.param("layer.lora_B.weight", [0.0, float("nan")], "NotFinite", id="not finite"),
        pytest.param("layer.lora_B.weight", [0.0, 0.0], "NothingTrained", id="never moved"),
        pytest.param("layer.lora_A.weight", [0.5, 0.5], "NothingTrained", id="no B at all"),
        pytest.param("layer.lora_B.weight", [0.0, 0.1], None, id="moved"),
        pytest.param(None, [], "NothingSaved", id="no tensors"),
    ],
)
def test_an_adapter_must_be_finite_and_changed(
    ranks: Any, tmp_path: Path, name: str | None, values: list[float], reason: str | None
) -> None:
    import torch
    from safetensors.torch import save_file

    from finetune_trainer.ranks.soundness import require_sound_tensors

    if name is not None:
        save_file({name: torch.tensor(values)}, tmp_path / "adapter_model.safetensors")

    if reason is None:
        require_sound_tensors(tmp_path, is_adapter=True)
        return
    with pytest.raises(AttemptFailed) as caught:
        require_sound_tensors(tmp_path, is_adapter=True)
    assert caught.value.failure.reason == reason


USER = {"role": "user", "content": "When?"}
ANSWER = {"role": "assistant", "content": "At 7."}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        pytest.param({"messages": [USER, ANSWER]}, ("When?", "At 7."), id="dialogue"),
        pytest.param({"prompt": "When?", "completion": "At 7."}, ("When?", "At 7."), id="text"),
        pytest.param({"prompt": [USER], "completion": [ANSWER]}, ("When?", "At 7."), id="messages"),
        pytest.param({"messages": [USER]}, ("When?", None), id="without an answer"),
        pytest.param({"text": "At 7 we open."}, None, id="plain text has no prompt"),
        pytest.param({"messages": [USER, ANSWER], "images": []}, None, id="images"),
    ],
)
def test_prompts_are_found_in_every_shape(
    ranks: Any, row: dict[str, Any], found: tuple[str, str | None] | None
) -> None:
    from finetune_trainer.ranks.evaluation.samples import prompt_of

    prompt = prompt_of(row)

    assert (prompt and (prompt.question, prompt.expected)) == found
