# SPDX-License-Identifier: Apache-2.0
"""Realistic jobs and data, each with its correct result.

Only the result counts: the verdict, the messages, and the model's input text, decoded from the
tokens of the batches, with its trained part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trainer.cases.attempts import FILES, NAMES, OUT, Ended, carry_out, carry_out_job
from trainer.cases.models import Models
from trainer.cases.watching import Row

pytestmark = pytest.mark.slow  # importing datasets and torch

SYSTEM = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Models:
    return Models(tmp_path_factory.mktemp("models"), tiny_model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The expected result of a job."""

    verdict: str = "Succeeded"
    told: Sequence[str] = ()
    """Sentences that its user reads; for a success all of them, possibly none."""
    rows: Sequence[Row] = ()
    """The trained rows, in any order."""
    left_out: int = 0


def whole(text: str) -> Row:
    """A row of which every token counts."""
    return Row(text=text, learnt=text)


def talk(*turns: tuple[str, str], system: str = SYSTEM) -> Row:
    """A conversation as rendered by SmolLM2's template."""
    said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    return whole(system + said)


def answer(prompt: str, completion: str) -> Row:
    return Row(text=f"{prompt}{completion}<|im_end|>", learnt=f"{completion}<|im_end|>")


def llama(*turns: tuple[str, str]) -> str:
    """A conversation as rendered by the template of Llama 3."""
    return "<|begin_of_text|>" + "".join(
        f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>" for role, text in turns
    )


def asked(n: int, colour: str = "red") -> tuple[tuple[str, str], tuple[str, str]]:
    return ("user", f"Where is boat {n}?"), ("assistant", f"At pier {n}, the {colour} one.")


def gemma(prompt: str, said: str) -> Row:
    return whole(
        f"<|im_start|><start_of_turn>user\n{prompt}<|im_end|>\n"
        f"<start_of_turn>model\n{said}<|im_end|>\n"
    )


def refused(verdict: str, *told: str) -> Ending:
    return Ending(verdict=verdict, told=told)


EIGHT, FROM_ONE = range(8), range(1, 9)
WORDS = ["None", "NA", "null", "n/a", "nan", "Pier 1", "Pier 2", "N/A"]
IMAGE = "<image>" * 4
BOATS = tuple(whole(f"Boat {n} lies at pier {n}.<|im_end|>") for n in EIGHT)
END = "<|im_end|>"
WAITING = tuple(
    f"{who} lies at pier {n}, which is the {colour} one, and waits.{END}"
    for n, (who, colour) in enumerate(
        [("A boat", "red"), ("Gulls", "blue"), ("The tide", "last"), ("Nobody", "grey")]
    )
)

ENDINGS = {
    "01-data-edited": Ending(rows=[talk(*asked(n, "blue")) for n in FROM_ONE]),
    "02-csv-na-words": Ending(
        rows=[answer(f"Which dock has boat {n}?", word) for n, word in enumerate(WORDS)]
    ),
    "03-csv-leading-zeros": Ending(rows=[answer(f"Code of boat {n}?", f"00{n}") for n in EIGHT]),
    "05-weights-missing": refused(
        "ModelDamaged",
        "the model's files lack 1 tensor (lm_head.weight): they would be initialized randomly",
    ),
    "07-tool-calls-dropped": Ending(
        told=(
            "Warning: the chat template leaves out the column tools in 8 of 8 rows of train; set "
            "chat_template_path to a template that writes it\nWarning: the chat template leaves "
            "out tool_calls in 8 of 8 rows of train: turns with tool calls are trained without "
            "them; set chat_template_path to a template that writes them"
        ).splitlines(),
        rows=[
            talk(
                ("user", f"Where is boat {n}?"),
                ("assistant", ""),
                ("tool", "pier 1"),
                ("assistant", "At pier 1."),
            )
            for n in EIGHT
        ],
    ),
    "11-merge-of-4bit-checkpoint": refused(
        "InvalidConfig",
        "merge_adapter: found true, but the model's weights are stored quantized (bitsandbytes)",
        "leave merge_adapter out, or name the model that it was quantized from",
    ),
    "13-continue-adapter": refused(
        "ModelNotFound",
        "the directory contains an adapter of",
        "set adapter_as_model: continue to train this adapter further, or adapter_as_model: merge",
    ),
    "14-encoder": refused(
        "InvalidConfig", "the model is an encoder, which does not generate text (BertForMaskedLM)"
    ),
    "16-tokenizer-larger-than-embedding": refused(
        "InvalidConfig",
        "the data contains '<tool>', '</tool>', for which the tokenizer has ids from 49152 on",
        "list these tokens in added_tokens",
    ),
    "17-image-null": Ending(
        rows=[
            whole(
                f"<|im_start|>user\n{IMAGE if n % 2 == 0 else ''}Colour {n}?<|im_end|>\n"
                "<|im_start|>assistant\nRed.<|im_end|>\n"
            )
            for n in EIGHT
        ]
    ),
    "19-system-role-one-row": Ending(
        told=(
            "Warning: 1 of 8 rows of train are left out: the chat template refuses the role system "
            '("System role not supported"), as in turn 1 of row 8 (1)\n'
            "Warning: to train on the rows of train that the chat template cannot write: set "
            "merge_system_message: true to put it into the first turn of the user, or "
            "chat_template_path to a template that has the role"
        ).splitlines(),
        rows=[gemma(f"Where is boat {n}?", f"At pier {n}, the red one.") for n in range(1, 8)],
        left_out=1,
    ),
    "20-content-parts": Ending(
        rows=[talk(("user", f"Where is boat {n}?"), ("assistant", f"At pier {n}.")) for n in EIGHT]
    ),
    "21-lora-default-targets": refused(
        "InvalidConfig",
        'PEFT has no default targets for models of type "granite": set lora_target_modules: '
        "all-linear",
    ),
    "22-moe-lora-dropout": refused(
        "InvalidConfig",
        "lora_dropout: found 0.05, and lora_target_modules (all-linear) includes the experts",
        "set lora_dropout: 0",
    ),
    "23-lfs-pointers": refused(
        "ModelDamaged",
        "model.safetensors is a Git LFS pointer, not the content",
        "run git lfs install and git lfs pull in the clone",
    ),
    "24-config-name": refused(
        "DatasetConfigNotFound",
        "the dataset has several configurations: harbour, sea",
        "set dataset_config: harbour, or another of them",
    ),
    "25-zst": Ending(rows=[talk(*asked(n)) for n in FROM_ONE]),
    "27-optimizer-not-in-image": refused(
        "PackageNotInstalled",
        'optim: found "schedule_free_adamw", which needs the package schedulefree, but this '
        "trainer image lacks it",
    ),
    "28-gguf": refused(
        "ModelNotFound",
        "the model's weights (model-Q4_K_M.gguf) are in GGUF, which is for inference and cannot be",
        "name the model that they were converted from",
    ),
    "29-weight-zero": Ending(
        rows=[
            Row(
                text=llama(
                    ("user", "Hi"), ("assistant", "WRONG"), ("user", "No."), ("assistant", "Right.")
                ),
                learnt="Right.<|eot_id|>",
            )
        ]
        * 8
    ),
    "31-metric-of-trlx": Ending(
        rows=[answer(f"Name boat {n}:", f" Seagull {n}") for n in EIGHT],
    ),
    "32-templates-make-no-chat": Ending(
        rows=[
            Row(
                text=f"<|im_start|>user\nWhat is force {n}?<|im_end|>\n<|im_start|>assistant\n"
                + (said := f"<think>Listen, it is {n}.</think> It is {n}, Morty.<|im_end|>\n"),
                learnt=said,
            )
            for n in EIGHT
        ]
    ),
    "33-wrong-remedy-columns": refused(
        "DatasetColumnMissing",
        "the dataset has the columns Messages",
        "set dataset_columns: {messages: Messages}",
    ),
    "35-pad-is-eos": Ending(rows=[whole(llama(*asked(n))) for n in FROM_ONE]),
    "36-double-bos": Ending(
        rows=[
            whole(llama(("user", f"Where is boat {n}?"), ("assistant", f"Pier {n}.")))
            for n in EIGHT
        ]
    ),
    "37-gradient-accumulation": Ending(
        rows=[answer(f"Where is boat {n}?", f" At pier {'very ' * (3 * n)}far.") for n in EIGHT]
    ),
    "38-ultrachat": refused(
        "DatasetColumnMissing",
        "the dataset has the columns prompt, prompt_id, messages: TRL reads prompt with",
        "set dataset_columns: {messages: messages}, which leaves the prompt out",
    ),
}


def test_every_case_has_an_expected_ending() -> None:
    assert sorted([*ENDINGS, "09-packing-gpt-oss"]) == NAMES


@pytest.mark.parametrize("name", ENDINGS)
def test_a_job_ends_as_its_user_expects(name: str, models: Models, tmp_path: Path) -> None:
    expected = ENDINGS[name]

    ended = carry_out(name, models, tmp_path)

    require(ended, expected)


def require(ended: Ended, expected: Ending) -> None:
    assert ended.verdict == expected.verdict, ended.words
    for sentence in expected.told:
        assert sentence in ended.words
    assert sorted(ended.rows) == sorted(expected.rows)
    if expected.verdict == "Succeeded":
        assert ended.words.splitlines() == list(expected.told)
        assert ended.figure("rows") == len(expected.rows) + expected.left_out
        assert ended.figure("rows_dropped") == expected.left_out


REMEDIED = [
    *(
        pytest.param(name, {"model_name_or_path": model}, BOATS, id=name[:2])
        for name, model in (
            ("05-weights-missing", "tiny"),
            ("13-continue-adapter", "merged"),
            ("14-encoder", "tiny"),
            ("23-lfs-pointers", "tiny"),
            ("28-gguf", "tiny"),
        )
    ),
    pytest.param("13-continue-adapter", {"adapter_as_model": "continue"}, BOATS, id="13, further"),
    pytest.param("11-merge-of-4bit-checkpoint", {"merge_adapter": OUT}, BOATS, id="11"),
    pytest.param(
        "16-tokenizer-larger-than-embedding",
        {"added_tokens": ["<tool>", "</tool>"]},
        [whole(f"<tool>boat {n}</tool> pier<|im_end|>") for n in EIGHT],
        id="16",
    ),
    pytest.param(
        "19-system-role-one-row",
        {"merge_system_message": True},
        [
            *ENDINGS["19-system-role-one-row"].rows,
            gemma("You are terse.\n\nWhere?", "There."),
        ],
        id="19",
    ),
    pytest.param(
        "21-lora-default-targets",
        {"lora_target_modules": "all-linear", "merge_adapter": OUT},
        BOATS,
        id="21",
    ),
    pytest.param("22-moe-lora-dropout", {"lora_dropout": 0}, BOATS, id="22"),
    pytest.param(
        "24-config-name",
        {"dataset_config": "harbour"},
        [talk(*asked(n)) for n in FROM_ONE],
        id="24",
    ),
    pytest.param(
        "27-optimizer-not-in-image",
        {"optim": "adamw_torch_fused", "lr_scheduler_type": "constant_with_warmup"},
        BOATS,
        id="27",
    ),
    pytest.param(
        "33-wrong-remedy-columns",
        {"dataset_columns": {"messages": "Messages"}},
        [talk(*asked(n)) for n in FROM_ONE],
        id="33",
    ),
    pytest.param(
        "38-ultrachat",
        {"dataset_columns": {"messages": "messages"}},
        [talk(("user", f"Where is boat {n}?"), ("assistant", "There.")) for n in EIGHT],
        id="38",
    ),
]


@pytest.mark.parametrize(("name", "remedy", "rows"), REMEDIED)
def test_a_refused_job_is_trained_once_the_remedy_is_applied(
    name: str, remedy: dict[str, Any], rows: Sequence[Row], models: Models, tmp_path: Path
) -> None:
    ended = carry_out(name, models, tmp_path, **remedy)

    assert ended.verdict == "Succeeded", ended.words
    assert sorted(ended.rows) == sorted(rows)


def test_edited_data_train_nothing_and_the_status_explains_how_to_train_again(
    models: Models, tmp_path: Path
) -> None:
    corrected = (FILES / "01-data-edited" / "train.jsonl").read_text()
    data = tmp_path / "train.jsonl"
    data.write_text(corrected.replace("blue", "red"))
    carry_out_job("01-data-edited", models, tmp_path, data)
    data.write_text(corrected)

    again = carry_out_job("01-data-edited", models, tmp_path, data)

    assert again.verdict == "Succeeded"
    assert again.rows == ()
    assert "nothing was trained: this run was already complete, and the data has" in again.words
    assert "train.jsonl was sha256:" in again.words
    assert "runToken" in again.words


def test_a_trlx_metric_evaluates_the_models_answers(models: Models, tmp_path: Path) -> None:
    ended = carry_out("31-metric-of-trlx", models, tmp_path)

    judged = [record["eval_good"] for record in ended.trained.records() if "eval_good" in record]
    assert judged
    assert set(judged) == {0.0}


def test_larger_and_accumulated_batches_give_the_same_figures(
    models: Models, tmp_path: Path
) -> None:
    figures = []
    for size, steps in ((8, 1), (2, 4), (1, 8)):
        changed = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
        place = tmp_path / f"{size}x{steps}"
        place.mkdir()
        ended = carry_out("37-gradient-accumulation", models, place, **changed)
        (record,) = (found for found in ended.trained.records() if "loss" in found)
        figures.append((record["loss"], record["grad_norm"]))

    assert figures[1] == pytest.approx(figures[0], rel=1e-5)
    assert figures[2] == pytest.approx(figures[0], rel=1e-5)


def test_packed_rows_of_gpt_oss_do_not_attend_to_each_other(models: Models, tmp_path: Path) -> None:
    name = "09-packing-gpt-oss"
    for place in ("packed", "rows"):
        (tmp_path / place).mkdir()

    alone = {"packing": OUT, "per_device_train_batch_size": 4}

    packed = carry_out(name, models, tmp_path / "packed")
    rows = carry_out(name, models, tmp_path / "rows", **alone)

    assert (packed.verdict, packed.words) == ("Succeeded", "")
    assert list(rows.rows) == sorted(map(whole, WAITING))
    (pack,) = packed.rows
    assert sorted(pack.text.split(END)) == sorted(
        ["", *(said.removesuffix(END) for said in WAITING)]
    )
    assert packed.trained.losses() == pytest.approx(rows.trained.losses(), rel=1e-5)
