# SPDX-License-Identifier: Apache-2.0
"""The chat template that a user requests: found, trained with, used for the end of answers,
saved.
"""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from finetune_spec.config.check.chat_templates import NAMES
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs import fetching
from finetune_trainer.inputs.chat_templates import file_of, folder_of_trl
from trainer.in_process import Trained, train
from trainer.prepared_data import data_of, prepare, said

TALK = said("Hello?", "Ahoy.")
KEY = "chat_template_path"


def fetch(name: str, folder: Path) -> Path | None:
    return fetching.fetch(KEY, name, folder, {}, StopRequest())


def test_every_trl_template_and_chatml_can_be_selected_by_name() -> None:
    shipped = {file.stem for file in folder_of_trl().glob("*.jinja")}
    originals = {name for name in shipped if not name.endswith("_training")}

    assert set(NAMES) == originals | {"chatml"}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_name_stands_for_an_existing_file(tmp_path: Path, name: str) -> None:
    found = fetch(name, tmp_path)

    assert found is not None
    assert found.is_file()
    assert found.suffix == ".jinja"


@pytest.mark.parametrize("is_uri", [False, True], ids=["path", "uri"])
def test_a_template_file_is_used_in_place(tmp_path: Path, is_uri: bool) -> None:
    file = tmp_path / "ours.jinja"
    file.write_text("{{ messages }}")

    assert fetch(file.as_uri() if is_uri else str(file), tmp_path / "inputs") == file


def test_a_hub_name_of_a_template_is_left_to_trl(tmp_path: Path) -> None:
    assert fetch("org/tokenizer", tmp_path) is None


def test_a_missing_template_file_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("")

    with pytest.raises(AttemptFailed) as caught:
        fetch(str(tmp_path / "chta.jinja"), tmp_path / "inputs")

    assert caught.value.failure.reason == "ChatTemplateNotFound"
    assert caught.value.failure.remedy == f"set chat_template_path to {tmp_path}/chat.jinja"


def _artifact(trained: Trained) -> Path:
    assert trained.outcome.failure is None, trained.words()
    folders = (trained.published / kind for kind in ("adapter", "model"))
    return next(folder for folder in folders if folder.is_dir())


def _ends(artifact: Path) -> list[str]:
    """The tokens that end generation, as transformers loads them."""
    from transformers import AutoTokenizer, GenerationConfig

    found = GenerationConfig.from_pretrained(artifact).eos_token_id
    ids = found if isinstance(found, list) else [found]
    return list(AutoTokenizer.from_pretrained(artifact).convert_ids_to_tokens(ids))


@pytest.fixture(scope="session")
def base_without_turns(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model: no chat template, and texts end with <|endoftext|>."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = tmp_path_factory.mktemp("base")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.eos_token = tokenizer.pad_token = "<|endoftext|>"
    tokenizer.chat_template = None
    tokenizer.save_pretrained(place)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(place)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("use_peft", [True, False], ids=["adapter", "whole model"])
def test_a_base_model_learns_to_end_its_turns_with_the_token_of_its_new_template(
    tmp_path: Path,
    base_without_turns: Path,
    dialogues: Path,
    use_peft: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from transformers import AutoTokenizer

    trained = train(
        tmp_path, base_without_turns, dialogues, chat_template_path="chatml", use_peft=use_peft
    )

    artifact = _artifact(trained)
    chatml = file_of("chatml")
    assert chatml is not None
    assert (artifact / "chat_template.jinja").read_text() == chatml.read_text()
    assert AutoTokenizer.from_pretrained(artifact).eos_token == "<|im_end|>"
    assert set(_ends(artifact)) == {"<|im_end|>", "<|endoftext|>"}
    assert "the chat template ends answers with <|im_end|>" in caplog.text


@pytest.mark.slow
def test_a_merged_model_ends_its_turns_as_its_adapter_does(
    tmp_path: Path, base_without_turns: Path, dialogues: Path
) -> None:
    trained = train(
        tmp_path, base_without_turns, dialogues, chat_template_path="chatml", merge_adapter=True
    )

    assert trained.outcome.failure is None, trained.words()
    assert set(_ends(trained.published / "model")) == {"<|im_end|>", "<|endoftext|>"}


@pytest.mark.slow
def test_an_eos_token_set_in_the_config_becomes_the_tokenizers(
    tmp_path: Path, base_without_turns: Path, dialogues: Path
) -> None:
    from transformers import AutoTokenizer

    trained = train(
        tmp_path,
        base_without_turns,
        dialogues,
        chat_template_path="chatml",
        eos_token="<|endoftext|>",
    )

    artifact = _artifact(trained)
    assert AutoTokenizer.from_pretrained(artifact).eos_token == "<|endoftext|>"
    assert set(_ends(artifact)) == {"<|im_end|>", "<|endoftext|>"}


@pytest.mark.slow
def test_texts_without_turns_keep_the_eos_token_of_a_base_model(
    tmp_path: Path, base_without_turns: Path
) -> None:
    data = data_of(tmp_path, [{"text": "The boat casts off at seven."}])

    artifact = _artifact(train(tmp_path, base_without_turns, data))

    assert _ends(artifact) == ["<|endoftext|>"]
    assert not (artifact / "chat_template.jinja").exists()


@pytest.mark.slow
def test_conversations_for_a_model_without_a_template_are_refused_before_training(
    tmp_path: Path, base_without_turns: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, base_without_turns, dialogues)

    assert trained.words().startswith("ChatTemplateMissing: the data contains conversations")
    assert "set chat_template_path: a template's name (such as chatml" in trained.words()


@pytest.mark.slow
def test_a_template_whose_tokens_the_model_lacks_is_refused_with_the_tokens_to_add(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, chat_template_path="llama3")

    assert trained.words().startswith("ChatTemplateTokensMissing: ")
    assert "ends answers with <|eot_id|>" in trained.words()
    assert "'<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'" in trained.words()


@pytest.mark.slow
def test_with_its_tokens_added_such_a_template_trains_and_ends_answers(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    tokens = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

    trained = train(
        tmp_path, tiny_model, dialogues, chat_template_path="llama3", added_tokens=tokens
    )

    assert "<|eot_id|>" in _ends(_artifact(trained))


@pytest.mark.slow
def test_a_tokenizer_as_template_provides_its_tokens_and_its_eos_token(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from transformers import AutoTokenizer

    source = AutoTokenizer.from_pretrained(tiny_model)
    source.add_tokens(["<|over|>"], special_tokens=True)
    source.eos_token = "<|over|>"
    source.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|over|>{% endfor %}"
    )
    source.save_pretrained(tmp_path / "source")

    trained = train(tmp_path, tiny_model, dialogues, chat_template_path=str(tmp_path / "source"))

    artifact = _artifact(trained)
    assert (artifact / "chat_template.jinja").read_text() == source.chat_template
    assert "<|over|>" in _ends(artifact)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "reason", "words"),
    [
        pytest.param(
            "{% for m in messages %}\n{{ m.content }", "InvalidChatTemplate", "line 2", id="syntax"
        ),
        pytest.param(
            "{% for m in messages %}{{ m.role }}<|im_end|>{% endfor %}",
            "InvalidChatTemplate",
            "leaves out the content",
            id="no content",
        ),
    ],
)
def test_a_template_that_cannot_be_used_for_training_is_refused_in_one_sentence(
    tmp_path: Path, tiny_model: Path, template: str, reason: str, words: str
) -> None:
    (tmp_path / "ours.jinja").write_text(template)

    with pytest.raises(AttemptFailed) as caught:
        prepare(tmp_path, tiny_model, [TALK], chat_template_path=str(tmp_path / "ours.jinja"))

    assert caught.value.failure.reason == reason
    assert words in caught.value.failure.message


@pytest.mark.slow
def test_a_template_directory_without_a_tokenizer_is_refused(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    (tmp_path / "empty").mkdir()

    trained = train(tmp_path, tiny_model, dialogues, chat_template_path=str(tmp_path / "empty"))

    assert trained.words().startswith("ChatTemplateNotFound: ")
    assert "without a tokenizer" in trained.words()


@pytest.mark.slow
def test_a_template_that_ends_no_answer_gets_a_warning(
    tmp_path: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "ours.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )

    prepare(tmp_path, tiny_model, [TALK], chat_template_path=str(tmp_path / "ours.jinja"))

    assert "ends answers without a special token" in caplog.text


@pytest.mark.slow
def test_chatml_refuses_tool_calls_instead_of_dropping_them(
    tmp_path: Path, tiny_model: Path
) -> None:
    call: dict[str, Any] = {"function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    turns = [{"role": "user", "content": "Time?"}, {"role": "assistant", "tool_calls": [call]}]
    row = {"messages": [{"content": "", "tool_calls": None, **turn} for turn in turns]}

    trained = train(tmp_path, tiny_model, data_of(tmp_path, [row]), chat_template_path="chatml")

    assert "chatml has no words for tool calls" in trained.words()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("eos", "ends", "is_chat", "words"),
    [
        pytest.param(None, [2], False, "no end-of-sequence token", id="tokenizer without one"),
        pytest.param("<|im_end|>", None, False, "no end-of-sequence token", id="generation"),
        pytest.param("<|im_end|>", [0], False, "generation does not stop at it", id="another"),
        pytest.param(
            "<|endoftext|>", [0], True, "ends answers with <|im_end|>", id="another turn's"
        ),
    ],
)
def test_an_artifact_that_could_not_end_its_answers_is_refused(
    tiny_model: Path, eos: str | None, ends: list[int] | None, is_chat: bool, words: str
) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    from finetune_trainer.ranks.chat.ends import require_ending

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.eos_token = eos
    generation = GenerationConfig(eos_token_id=ends)

    with pytest.raises(AttemptFailed, match=words) as caught:
        require_ending(tokenizer, generation, is_chat=is_chat)

    assert caught.value.failure.reason == "EosMissing"


@pytest.mark.slow
def test_the_artifact_contains_the_eos_token_of_its_answers(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    artifact = _artifact(train(tmp_path, tiny_model, dialogues))

    assert json.loads((artifact / "generation_config.json").read_text())["eos_token_id"]
    assert (artifact / "chat_template.jinja").is_file()
