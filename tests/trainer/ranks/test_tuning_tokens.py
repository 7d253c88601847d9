# SPDX-License-Identifier: Apache-2.0
"""`added_tokens`: a user's own tokens, whose embeddings are trained, with an adapter too."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.failures.stopping import StopRequest
from trainer.in_process import Trained, a_run, carry_out_here, train
from trainer.interruptions import stopping_at
from trainer.published import (
    load_adapter,
    load_model,
    load_tokenizer,
    require_learned,
    tensors,
    tensors_of,
)
from trainer.runs import a_folder
from trainer.tiny_models import a_model, a_tokenizer

pytestmark = pytest.mark.slow

TOKEN = "<|tool|>"
_DELTA = "trainable_tokens_delta"
TIED = pytest.mark.parametrize("is_tied", [False, True], ids=["a head of its own", "a tied head"])


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations with the new token in question and answer."""
    rows = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"Do you have {what}?"},
                    {"role": "assistant", "content": f"{TOKEN}stock({what}){TOKEN}"},
                ]
            }
        )
        + "\n"
        for what in ("soup", "bread", "tea", "fish")
    ]
    files = {"train.jsonl": "".join(rows).encode(), "test.jsonl": rows[0].encode()}
    return a_folder(tmp_path_factory.mktemp("calls"), files)


def vocabulary(model: Path) -> int:
    size: int = json.loads((model / "config.json").read_text())["vocab_size"]
    return size


@TIED
def test_a_full_model_learns_a_new_token(tmp_path: Path, calls: Path, is_tied: bool) -> None:
    base = a_model(tmp_path / "model", tie_word_embeddings=is_tied)

    trained = train(tmp_path, base, calls, use_peft=False, added_tokens=[TOKEN])

    model, tokenizer = load_model(trained), load_tokenizer(trained)
    token = vocabulary(base)
    assert tokenizer(TOKEN, add_special_tokens=False).input_ids == [token]
    assert model.config.vocab_size == token + 1 == model.get_output_embeddings().out_features
    require_learned(model, base, tokenizer)


@TIED
def test_an_adapter_trains_the_rows_of_a_new_token_and_no_others(
    tmp_path: Path, calls: Path, is_tied: bool
) -> None:
    base = a_model(tmp_path / "model", tie_word_embeddings=is_tied)

    trained = train(tmp_path, base, calls, added_tokens=[TOKEN])

    whole = {name: tensor for name, tensor in tensors(trained).items() if "lora_" not in name}
    assert len(whole) == (1 if is_tied else 2)
    assert {tuple(rows.shape) for rows in whole.values()} == {(1, 16)}
    model = load_adapter(trained, base)
    require_learned(model, base, load_tokenizer(trained))
    before = tensors_of(base)["model.embed_tokens.weight"]
    merged = model.merge_and_unload()
    for name, part in {
        "model.embed_tokens": merged.get_input_embeddings(),
        "lm_head": merged.get_output_embeddings(),
    }.items():
        rows = whole[f"{'model.embed_tokens' if is_tied else name}.token_adapter.{_DELTA}"]
        assert part.weight[-1].equal(rows[0])
    assert merged.get_input_embeddings().weight[:-1].equal(before)


@TIED
def test_new_tokens_and_those_of_a_cloned_template_can_be_combined(
    tmp_path: Path, calls: Path, is_tied: bool
) -> None:
    base = a_model(tmp_path / "model", tie_word_embeddings=is_tied)
    other = a_tokenizer(tmp_path / "other", "<|turn|>")

    trained = train(
        tmp_path, base, calls, added_tokens=[TOKEN], chat_template_path=str(other), max_length=96
    )

    tokenizer = load_tokenizer(trained)
    for token in (TOKEN, "<|turn|>"):
        assert len(tokenizer(token, add_special_tokens=False).input_ids) == 1
    require_learned(load_adapter(trained, base), base, tokenizer)


def test_a_template_can_be_cloned_to_an_adapter_on_a_tied_model(
    tmp_path: Path, dialogues: Path
) -> None:
    """TRL 1.16 wraps the head twice, and fails with 'object has no attribute bias'."""
    base = a_model(tmp_path / "model", tie_word_embeddings=True)
    other = a_tokenizer(tmp_path / "other", "<|turn|>")

    trained = train(tmp_path, base, dialogues, chat_template_path=str(other))

    require_learned(load_adapter(trained, base), base, load_tokenizer(trained))


def test_the_card_shows_how_to_load_an_adapter_whose_template_added_tokens(
    tmp_path: Path, dialogues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = a_model(tmp_path / "model", tie_word_embeddings=False)
    other = a_tokenizer(tmp_path / "other", "<|turn|>")

    trained = train(tmp_path, base, dialogues, chat_template_path=str(other))

    card = (trained.published / "adapter" / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(trained.published)
    loaded: dict[str, Any] = {}
    exec(code, loaded)  # noqa: S102 - what its reader does
    require_learned(loaded["model"].eval(), base, loaded["tokenizer"])


def test_an_added_token_that_already_exists_is_trained_too(
    tmp_path: Path, tiny_model: Path, dialogues: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        trained = train(tmp_path, tiny_model, dialogues, added_tokens=["<|im_start|>"])

    assert "tokens are in the vocabulary already tokens=['<|im_start|>']" in caplog.text
    tokenizer = load_tokenizer(trained)
    assert len(tokenizer) == vocabulary(tiny_model)
    row = tensors(trained)["model.embed_tokens.token_adapter.trainable_tokens_delta"][0]
    before = tensors_of(tiny_model)["model.embed_tokens.weight"][
        tokenizer.convert_tokens_to_ids("<|im_start|>")
    ]
    assert not row.equal(before)
    require_learned(load_adapter(trained, tiny_model), tiny_model, tokenizer)


@pytest.mark.parametrize("use_peft", [True, False], ids=["an adapter", "a whole model"])
def test_a_resumed_run_trains_new_tokens_like_an_uninterrupted_one(
    tmp_path: Path, tiny_model: Path, calls: Path, use_peft: bool
) -> None:
    config = {"added_tokens": [TOKEN], "max_steps": 4, "use_peft": use_peft}
    whole = train(tmp_path / "whole", tiny_model, calls, **config)

    run = a_run(tmp_path, tiny_model, calls, **config)
    with stopping_at(2, "on_step_end"):
        stopped = carry_out_here(run, tmp_path, StopRequest())
    resumed = carry_out_here(run, tmp_path)

    assert stopped.outcome.failure is not None
    assert resumed.outcome.resumed_from_step == 2
    assert resumed.losses() == pytest.approx(whole.losses(), rel=1e-6)
    require_same(resumed, whole)


def test_a_fully_trained_head_conflicts_with_new_tokens_of_a_tied_model(
    tmp_path: Path, calls: Path
) -> None:
    base = a_model(tmp_path / "model", tie_word_embeddings=True)

    trained = train(tmp_path, base, calls, added_tokens=[TOKEN], lora_modules_to_save=["lm_head"])

    assert trained.words().startswith(
        "InvalidConfig: lora_modules_to_save: found lm_head together with tokens that are added "
        "to LlamaForCausalLM, whose head shares its weights with the embedding | remove it"
    )


def test_single_tokens_cannot_be_trained_with_a_head_that_has_a_bias(
    tmp_path: Path, calls: Path
) -> None:
    base = a_model(tmp_path / "model", "phi")

    trained = train(tmp_path, base, calls, added_tokens=[TOKEN])

    assert trained.words() == (
        "InvalidConfig: added_tokens: the output head of PhiForCausalLM has a bias, with which "
        "PEFT cannot train single tokens | write lm_head into lora_modules_to_save, or remove "
        "use_peft to train the full model"
    )


def require_same(resumed: Trained, whole: Trained) -> None:
    ours, theirs = tensors(resumed), tensors(whole)
    assert ours.keys() == theirs.keys()
    assert not [name for name in theirs if not ours[name].allclose(theirs[name], atol=1e-6)]
