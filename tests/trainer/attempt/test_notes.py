# SPDX-License-Identifier: Apache-2.0
"""A success hides nothing: all relevant facts for its user are noted, in one list.

Checked in the outcome, from which status and terminal output are built, and in the published files.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.local.run_texts import summary
from trainer.in_process import Trained, a_run, carry_out_here, train
from trainer.runs import a_folder
from trainer.tiny_models import a_model, with_template

pytestmark = pytest.mark.slow  # importing datasets and torch

GOOD = [{"prompt": f"Where is boat {n}? ", "completion": f"At pier {n}."} for n in range(8)]
WHOLE = {"use_peft": False, "lora_r": None}


def data(place: Path, rows: Sequence[Any], name: str = "train.jsonl") -> Path:
    folder = a_folder(
        place / "data", {name: b"".join(json.dumps(r).encode() + b"\n" for r in rows)}
    )
    return folder / name


def noted(trained: Trained) -> dict[str, str]:
    """The message of each note, by severity and reason."""
    assert trained.outcome.failure is None
    notes = trained.outcome.notes
    return {f"{note.severity} {note.reason}": note.message for note in notes}


def test_an_uneventful_run_has_no_notes(tmp_path: Path, tiny_model: Path) -> None:
    assert noted(train(tmp_path, tiny_model, data(tmp_path, GOOD))) == {}


def test_omitted_rows_are_noted_wherever_a_user_looks(tmp_path: Path, tiny_model: Path) -> None:
    rows = [*GOOD, {"prompt": "Where?", "completion": None}, {"prompt": None, "completion": "x"}]

    done = train(tmp_path, tiny_model, data(tmp_path, rows))

    message = "2 of 10 rows of train are left out: completion is null (1), prompt is null (1)"
    assert noted(done) == {"Warning RowsLeftOut": message}
    assert f"  warning   {message}" in summary(done.outcome, [], "r").splitlines()
    assert message in (done.report / "report.html").read_text()
    assert (
        "2 of 10 rows of train are left out" in (done.published / "adapter/README.md").read_text()
    )


def test_truncated_answers_are_noted(tmp_path: Path, tiny_model: Path) -> None:
    rows = [{"prompt": "Where? ", "completion": "At pier 9, " * 20} for _ in range(8)]

    notes = noted(train(tmp_path, tiny_model, data(tmp_path, rows), max_length=32))

    assert list(notes) == ["Warning AnswersCut"]
    assert notes["Warning AnswersCut"].startswith(
        "8 of 8 rows of train lose trained tokens at their end: they are longer than max_length "
        "(32)"
    )


def test_tool_calls_that_the_chat_template_drops_are_noted(
    tmp_path: Path, tiny_model: Path
) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": {"boat": 0}}}
    turns = [
        {"role": "user", "content": "Where is boat 0?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "pier 1"},
        {"role": "assistant", "content": "At pier 1."},
    ]

    notes = noted(train(tmp_path, tiny_model, data(tmp_path, [{"messages": turns}] * 4)))

    assert notes == {
        "Warning TemplateLeavesOut": "the chat template leaves out tool_calls in 4 of 4 rows of "
        "train: turns with tool calls are trained without them; set chat_template_path to a "
        "template that writes them"
    }


def test_rows_that_the_chat_template_refuses_are_counted_and_noted_with_a_remedy(
    tmp_path: Path, tiny_model: Path
) -> None:
    model = with_template(tiny_model, tmp_path / "model", "gemma")
    talk = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]
    system = {"role": "system", "content": "You are terse."}
    rows = [{"messages": talk}] * 7 + [{"messages": [system, *talk]}]

    notes = noted(train(tmp_path, model, data(tmp_path, rows)))

    assert notes["Warning RowsLeftOut"] == (
        "1 of 8 rows of train are left out: the chat template refuses the role system "
        '("System role not supported"), as in turn 1 of row 8 (1)'
    )
    assert "set merge_system_message: true" in notes["Warning TemplateRefuses"]


def test_rows_of_a_stream_are_noted_as_not_counted(tmp_path: Path, tiny_model: Path) -> None:
    notes = noted(train(tmp_path, tiny_model, data(tmp_path, GOOD), dataset_streaming=True))

    assert list(notes) == ["Info NotKnown"]


@pytest.mark.parametrize(
    ("config", "is_refused"),
    [
        pytest.param({}, True, id="more than half, which is the default"),
        pytest.param({"max_rows_left_out": 0.7}, True, id="more than is allowed"),
        pytest.param({"max_rows_left_out": 0.75}, False, id="as many as are allowed"),
        pytest.param({"max_rows_left_out": 1}, False, id="all may be"),
    ],
)
def test_a_run_that_would_omit_too_many_rows_fails_before_training(
    config: dict[str, Any], is_refused: bool, tmp_path: Path, tiny_model: Path
) -> None:
    rows = [{**row, "completion": None} if place < 6 else row for place, row in enumerate(GOOD)]

    done = train(tmp_path, tiny_model, data(tmp_path, rows), **config)

    assert (done.outcome.failure is not None) is is_refused
    assert done.outcome.step == (0 if is_refused else 2)
    if is_refused:
        assert done.words().startswith(
            "TooManyRowsLeftOut: 6 of 8 rows of train would be left out: completion is null (6)"
        )
        assert "raise max_rows_left_out" in done.words()


ANSWER = {"role": "assistant", "content": "At pier 9."}
LONG = "Where, among all the piers of this harbour and of the next one, is the boat? " * 4


@pytest.mark.parametrize(
    ("cut", "whole", "config"),
    [
        pytest.param(
            {"prompt": LONG, "completion": "At pier 9."}, GOOD[0], {}, id="prompt and completion"
        ),
        pytest.param(
            {
                "prompt": [{"role": "user", "content": LONG}],
                "completion": [ANSWER],
            },
            {"prompt": [{"role": "user", "content": "Where?"}], "completion": [ANSWER]},
            {},
            id="conversations",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": LONG}, ANSWER]},
            {"messages": [{"role": "user", "content": "Where?"}, ANSWER]},
            {"assistant_only_loss": True, "chat_template_path": "chatml"},
            id="conversations whose answers alone count",
        ),
    ],
)
def test_answers_that_are_cut_off_completely_count_as_rows_left_out(
    cut: Any, whole: Any, config: dict[str, Any], tmp_path: Path, tiny_model: Path
) -> None:
    done = train(
        tmp_path, tiny_model, data(tmp_path, [cut] * 5 + [whole] * 3), max_length=128, **config
    )

    assert done.words().startswith(
        "TooManyRowsLeftOut: 5 of 8 rows of train would be left out: prompt fills max_length (5)"
    )
    assert "raise max_length, or shorten the prompts; to train on the other rows anyway" in (
        done.words()
    )


def test_a_run_that_was_already_complete_notes_that_nothing_was_trained(
    tmp_path: Path, tiny_model: Path
) -> None:
    rows = data(tmp_path, GOOD)
    train(tmp_path, tiny_model, rows)

    again = train(tmp_path, tiny_model, rows)

    notes = noted(again)
    assert list(notes) == ["Info NothingTrained"]
    assert "the data (sha256:" in notes["Info NothingTrained"]
    assert "is unchanged since the training" in notes["Info NothingTrained"]
    assert "spec.runToken" in notes["Info NothingTrained"]


def test_a_data_file_corrected_since_is_named_with_both_digests(
    tmp_path: Path, tiny_model: Path
) -> None:
    from hashlib import sha256

    rows = data(tmp_path, GOOD)
    first = sha256(rows.read_bytes()).hexdigest()[:12]
    train(tmp_path, tiny_model, rows)
    rows.write_bytes(rows.read_bytes().replace(b"pier", b"quay"))
    second = sha256(rows.read_bytes()).hexdigest()[:12]

    again = train(tmp_path, tiny_model, rows)

    notes = noted(again)
    assert list(notes) == ["Warning InputsChanged"]
    assert f"train.jsonl was sha256:{first}, and is {second} now" in notes["Warning InputsChanged"]
    assert "to train again, set spec.runToken to another value" in notes["Warning InputsChanged"]
    assert again.outcome.artifact is not None


def test_a_model_replaced_since_is_named(tmp_path: Path) -> None:
    model, rows = a_model(tmp_path / "model"), data(tmp_path, GOOD)
    train(tmp_path, model, rows)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rope_theta": 7.0}))

    notes = noted(train(tmp_path, model, rows))

    assert "the base model has changed since: config.json" in notes["Warning InputsChanged"]


def test_deleted_data_do_not_affect_a_complete_run(tmp_path: Path, tiny_model: Path) -> None:
    rows = data(tmp_path, GOOD)
    train(tmp_path, tiny_model, rows)
    rows.unlink()

    again = train(tmp_path, tiny_model, rows)

    assert list(noted(again)) == ["Info NothingTrained"]


def test_notes_of_the_training_are_kept_for_a_later_attempt(
    tmp_path: Path, tiny_model: Path
) -> None:
    rows = data(tmp_path, [*GOOD, {"prompt": "Where?", "completion": None}])
    train(tmp_path, tiny_model, rows)

    assert list(noted(train(tmp_path, tiny_model, rows))) == [
        "Warning RowsLeftOut",
        "Info NothingTrained",
    ]


@pytest.mark.parametrize("model_type", ["llama", "olmo"], ids=["known", "known when loaded"])
def test_weights_missing_in_the_files_are_refused_by_name(tmp_path: Path, model_type: str) -> None:
    whole = a_model(tmp_path / "model", model_type, tie_word_embeddings=False)
    model = _without(whole, "lm_head.weight")

    done = train(tmp_path, model, data(tmp_path, GOOD), lora_target_modules="all-linear")

    assert done.words().startswith(
        "ModelDamaged: the model's files lack 1 tensor (lm_head.weight): they would be "
        "initialized randomly"
    )
    assert done.outcome.step == 0


def test_weights_without_a_counterpart_in_the_architecture_are_noted(tmp_path: Path) -> None:
    model = _with_more(a_model(tmp_path / "model"), "model.layers.7.extra.weight")

    notes = noted(train(tmp_path, model, data(tmp_path, GOOD)))

    assert list(notes) == ["Warning WeightsUnused"]
    assert "1 tensor (model.layers.7.extra.weight)" in notes["Warning WeightsUnused"]


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        pytest.param(
            None,
            "the base model is in bfloat16, but the published artifact is in float32: set dtype: "
            "bfloat16",
            id="as TRL loads it",
        ),
        pytest.param("bfloat16", "", id="like the base model"),
    ],
)
def test_a_full_model_in_another_precision_than_its_base_is_noted(
    dtype: str | None, message: str, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    place = a_model(tmp_path / "model")
    AutoModelForCausalLM.from_pretrained(place, dtype=torch.bfloat16).save_pretrained(place)

    notes = noted(train(tmp_path, place, data(tmp_path, GOOD), **WHOLE, dtype=dtype))

    assert notes.get("Warning OtherPrecision", "").startswith(message)
    assert bool(notes) is bool(message)


@pytest.mark.parametrize(
    ("rows", "config", "message"),
    [
        pytest.param(
            GOOD,
            {"merge_system_message": True},
            "merge_system_message has no effect",
            id="system messages of texts",
        ),
        pytest.param(
            [{**row, "text": "x"} for row in GOOD],
            {"dataset_text_field": "body"},
            "dataset_text_field (body) has no effect: the data has prompt",
            id="a text field and prompts",
        ),
        pytest.param(
            GOOD,
            {"chat_template_path": "chatml"},
            "chat_template_path has no effect",
            id="a chat template for texts",
        ),
    ],
)
def test_a_key_without_effect_is_noted(
    rows: list[Any], config: dict[str, Any], message: str, tmp_path: Path, tiny_model: Path
) -> None:
    notes = noted(train(tmp_path, tiny_model, data(tmp_path, rows * 2), **config))

    assert notes["Warning NoEffect"].startswith(message)


def test_a_secret_in_a_row_appears_in_no_note(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "correct-horse-battery")
    turns = [{"from": "correct-horse-battery", "value": "x"}, {"from": "gpt", "value": "y"}]
    good = [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]
    rows = [{"conversations": it} for it in (good, good, turns)]

    run = a_run(tmp_path, tiny_model, data(tmp_path, rows), dataset_format="sharegpt")
    done = carry_out_here(replace(run), tmp_path)

    assert "RowsLeftOut" in {note.reason for note in done.outcome.notes}
    assert "correct-horse-battery" not in str(done.outcome.notes)
    assert "correct-horse-battery" not in (done.published / "manifest.json").read_text()


def _without(model: Path, name: str) -> Path:
    return _rewritten(model, lambda tensors: tensors.pop(name))


def _with_more(model: Path, name: str) -> Path:
    import torch

    return _rewritten(model, lambda tensors: tensors.update({name: torch.zeros(2)}))


def _rewritten(model: Path, change: Any) -> Path:
    from safetensors.torch import load_file, save_file

    file = model / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return model
