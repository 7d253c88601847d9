# SPDX-License-Identifier: Apache-2.0
"""The loss, and the tensors that are kept or recomputed for it: compared with a manual
computation.
"""

from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from trainer.conftest import DIALOGUES
from trainer.in_process import train

pytestmark = pytest.mark.slow

ONE_BATCH = {
    "max_steps": 1,
    "per_device_train_batch_size": len(DIALOGUES),
    "lora_dropout": 0,
}
"""All rows in one step, so that their order does not matter."""
RECOMPUTING: dict[str, dict[str, Any]] = {
    "every layer": {},
    "every second layer": {"activation_checkpointing_kwargs": {"every_n_layers": 2}},
    "kept elsewhere": {"activation_checkpointing_kwargs": {"offload": True}},
    "reentrant": {"activation_checkpointing_kwargs": {"use_reentrant": True}},
    "selected operations": {"activation_checkpointing_kwargs": {"selective": True}},
    "by its older name": {"activation_checkpointing": None, "gradient_checkpointing": True},
}


def log_probabilities(model: Path) -> Any:
    """The base model's values for every token of the dialogues except the first."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model).eval()
    found = []
    for question, answer in DIALOGUES.items():
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            predicted = base(input_ids=ids).logits[0, :-1].log_softmax(-1)
        found.append(predicted.gather(1, ids[0, 1:, None])[:, 0])
    return torch.cat(found)


@pytest.mark.parametrize("loss_type", [None, "nll", "chunked_nll"], ids=str)
def test_the_usual_loss_is_the_mean_negative_log_likelihood(
    tmp_path: Path, tiny_model: Path, dialogues: Path, loss_type: str | None
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, **ONE_BATCH, loss_type=loss_type)

    expected = -log_probabilities(tiny_model).mean()
    assert trained.losses() == [pytest.approx(float(expected), rel=1e-5)]


def test_dynamic_fine_tuning_weighs_each_token_by_its_probability(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(
        tmp_path, tiny_model, dialogues, **ONE_BATCH, loss_type="dft", learning_rate=1.0
    )

    log = log_probabilities(tiny_model)
    assert trained.losses() == [pytest.approx(float((-log * log.exp()).mean()), rel=1e-4)]


def test_neftune_adds_noise_to_training_only(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    config = {**ONE_BATCH, "eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True}
    plain = train(tmp_path / "plain", tiny_model, dialogues, **config)
    shaken = train(tmp_path / "shaken", tiny_model, dialogues, **config, neftune_noise_alpha=500.0)

    assert eval_losses(shaken)[0] == eval_losses(plain)[0]
    assert abs(shaken.losses()[0] - plain.losses()[0]) > 1e-4
    assert shaken.outcome.adapter_verified


@pytest.mark.parametrize(
    "use_peft",
    [
        pytest.param(True, id="an adapter"),
        pytest.param(False, id="a whole model", marks=pytest.mark.long),
    ],
)
def test_recomputing_activations_changes_no_loss(
    tmp_path: Path, tiny_model: Path, dialogues: Path, use_peft: bool
) -> None:
    config = {"max_steps": 3, "use_peft": use_peft, "activation_checkpointing": True}
    kept = train(
        tmp_path / "kept", tiny_model, dialogues, **{**config, "activation_checkpointing": False}
    )

    for name, choice in RECOMPUTING.items():
        again = train(
            tmp_path / name.replace(" ", "-"), tiny_model, dialogues, **{**config, **choice}
        )
        assert again.outcome.failure is None, again.words()
        assert again.losses() == pytest.approx(kept.losses(), rel=1e-5), name


def test_training_the_last_layers_with_recomputation_changes_no_loss(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    config = {"max_steps": 3, "use_peft": False, "num_layers_unfrozen": 1}
    kept = train(tmp_path / "kept", tiny_model, dialogues, **config, activation_checkpointing=False)
    again = train(tmp_path / "again", tiny_model, dialogues, **config)

    assert again.losses() == pytest.approx(kept.losses(), rel=1e-5)


@pytest.mark.parametrize("key", ["use_liger_kernel", "activation_offloading"])
def test_a_setting_that_needs_a_gpu_is_refused_without_one_before_anything_is_fetched(
    tmp_path: Path, tiny_model: Path, dialogues: Path, key: str
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, **{key: True})

    failure = trained.outcome.failure
    assert failure is not None
    assert failure.phase == "Fetching"
    assert failure.message.startswith(f"{key}: found true in a job without GPUs: remove it")


def eval_losses(trained: Any) -> list[float]:
    return [record["eval_loss"] for record in trained.records() if "eval_loss" in record]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param(
            {"optim": "rmsprop_bnb_32bit", "optim_args": "lr_min=1"},
            "lr_min",
            id="of the optimizer",
        ),
        pytest.param(
            {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_circles": 2}},
            "num_circles",
            id="of the schedule",
        ),
    ],
)
def test_an_unknown_argument_is_a_user_error(
    tmp_path: Path, tiny_model: Path, dialogues: Path, config: dict[str, Any], words: str
) -> None:
    failure = train(tmp_path, tiny_model, dialogues, **config).outcome.failure

    assert failure is not None
    assert (failure.category, failure.reason) == (Category.USER, "InvalidConfig")
    assert words in failure.message
