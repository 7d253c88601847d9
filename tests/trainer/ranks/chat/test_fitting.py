# SPDX-License-Identifier: Apache-2.0
"""A chat template's result for a user's conversations is reported before a model is loaded.

Parts that it leaves out are noted; rows that it refuses are left out, counted and named, with a
remedy.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.failures.errors import AttemptFailed
from trainer.prepared_data import Prepared, prepare, said
from trainer.tiny_models import with_template

pytestmark = pytest.mark.slow  # Importing TRL takes a quarter of a minute.

SYSTEM = {"role": "system", "content": "You are terse."}
TALK = said("Where is boat 1?", "At pier 1.")
CALL = {"id": "c0", "type": "function", "function": {"name": "find", "arguments": {"boat": 0}}}
CALLING = {
    "messages": [
        {"role": "user", "content": "Where is boat 0?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c0", "name": "find", "content": "pier 1"},
        {"role": "assistant", "content": "At pier 1."},
    ]
}


def turns(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


@pytest.fixture
def prepared_with(tmp_path: Path, tiny_model: Path) -> Any:
    """The training data with one of TRL's templates."""

    def prepared(template: str, rows: Sequence[Any], **config: Any) -> Prepared:
        model = with_template(tiny_model, tmp_path / "model", template)
        return prepare(tmp_path, model, rows, **config)

    return prepared


def test_the_row_with_a_role_that_the_template_lacks_is_omitted_and_named(
    prepared_with: Any,
) -> None:
    rows = [*[TALK] * 7, {"messages": [SYSTEM, *TALK["messages"]]}]

    prepared = prepared_with("gemma", rows)

    assert prepared.loaded.dropped["train"] == {
        'the chat template refuses the role system ("System role not supported"), '
        "as in turn 1 of row 8": 1
    }
    assert len(prepared.texts()) == 7
    assert "set merge_system_message: true" in prepared.notes()["Warning TemplateRefuses"]


@pytest.mark.parametrize(
    ("template", "row", "message"),
    [
        pytest.param(
            "gemma",
            turns(("user", "a"), ("user", "b"), ("assistant", "c")),
            "two turns of one role in succession",
            id="two turns of the user",
        ),
        pytest.param(
            "gemma",
            turns(("assistant", "a"), ("user", "b"), ("assistant", "c")),
            "a conversation that begins with the role assistant",
            id="the assistant begins",
        ),
        pytest.param("cohere2", CALLING, "tool_calls and tool results", id="calls of tools"),
        pytest.param(
            "gemma",
            turns(("user", "a"), ("assistant", "c"), ("system", "b"), ("user", "b")),
            "the role system",
            id="a system message in the middle",
        ),
        pytest.param(
            "llava_next",
            TALK,
            "content that is a string, not a list of parts",
            id="plain texts for a template of parts",
        ),
    ],
)
def test_a_template_that_refuses_all_rows_ends_the_run_with_the_reason(
    prepared_with: Any, template: str, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(AttemptFailed) as caught:
        prepared_with(template, [row] * 3)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == ("User", "ConversationsRefused")
    assert f"the chat template can write no row of train: the chat template refuses {message}" in (
        failure.message
    )
    assert "row 1 (3 rows)" in failure.message
    assert failure.remedy


@pytest.mark.parametrize(
    ("role", "hint"),
    [
        pytest.param("human", "did you mean user?", id="ShareGPT's"),
        pytest.param("gpt", "did you mean assistant?", id="ShareGPT's for the assistant"),
        pytest.param("narrator", "expected one of system, user, assistant, tool", id="nobody's"),
    ],
)
def test_an_unknown_role_is_refused_with_the_known_ones(
    prepared_with: Any, role: str, hint: str
) -> None:
    with pytest.raises(AttemptFailed) as caught:
        prepared_with("qwen2_5", [turns((role, "a"), ("assistant", "b"))])

    failure = caught.value.failure
    assert failure.reason == "UnknownRole"
    assert f"the role '{role}', expected one of system, user, assistant, tool" in failure.message
    assert hint in failure.message


def test_a_role_that_the_template_names_is_accepted(tmp_path: Path, tiny_model: Path) -> None:
    template = tmp_path / "ours.jinja"
    template.write_text(
        "{% for turn in messages %}{% if turn.role == 'narrator' %}({{ turn.content }})"
        "{% else %}{{ turn.role }}:{{ turn.content }}<|im_end|>{% endif %}{% endfor %}"
    )
    rows = [turns(("narrator", "Night."), ("assistant", "Ahoy."))]

    prepared = prepare(tmp_path, tiny_model, rows, chat_template_path=str(template))

    assert prepared.texts() == ["(Night.)assistant:Ahoy.<|im_end|>"]


@pytest.mark.parametrize(
    ("template", "row", "message"),
    [
        pytest.param("llama3", CALLING, "leaves out tool_calls in 2 of 2 rows", id="tool calls"),
        pytest.param(
            "deepseek_r1_distill",
            turns(("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb")),
            "leaves out reasoning (<think>) in 2 of 2 rows",
            id="reasoning",
        ),
        pytest.param(
            "qwen3",
            turns(*[("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb")] * 2),
            "leaves out reasoning (<think>) of all turns but the last in 2 of 2 rows",
            id="reasoning of turns before the last",
        ),
        pytest.param(
            "qwen2_5",
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "b", "reasoning_content": "hm"},
                ]
            },
            "leaves out the key reasoning_content in 2 of 2 rows",
            id="reasoning in a key",
        ),
        pytest.param(
            "llama3",
            {**TALK, "tools": [{"type": "function", "function": {"name": "find"}}]},
            "leaves out the column tools in 2 of 2 rows",
            id="tools",
        ),
    ],
)
def test_content_that_the_template_drops_is_noted(
    prepared_with: Any, template: str, row: dict[str, Any], message: str
) -> None:
    notes = prepared_with(template, [row] * 2).notes()

    assert list(notes) == ["Warning TemplateLeavesOut"]
    assert message in notes["Warning TemplateLeavesOut"]


@pytest.mark.parametrize(
    ("template", "row"),
    [
        pytest.param("qwen2_5", CALLING, id="tool calls"),
        pytest.param(
            "qwen3",
            turns(("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb")),
            id="reasoning",
        ),
        pytest.param("gemma", TALK, id="plain turns"),
    ],
)
def test_content_that_the_template_writes_is_not_noted(
    prepared_with: Any, template: str, row: dict[str, Any]
) -> None:
    assert prepared_with(template, [row]).notes() == {}


def test_reasoning_kept_by_the_training_template_is_not_reported_as_lost(
    prepared_with: Any,
) -> None:
    row = turns(*[("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb")] * 2)

    prepared = prepared_with("qwen3", [row], assistant_only_loss=True)

    assert prepared.texts()[0].count("hm") == 2
    assert prepared.notes() == {}


def test_keys_of_turns_that_the_template_ignores_are_listed(prepared_with: Any) -> None:
    row = {"messages": [{"role": "user", "content": "a", "mood": "calm"}, TALK["messages"][1]]}

    notes = prepared_with("llama3", [row]).notes()

    assert notes == {
        "Warning NoEffect": "keys of turns that the chat template does not write have no effect: "
        "mood"
    }


def test_a_stream_is_checked_too_and_its_refused_rows_are_omitted(
    prepared_with: Any,
) -> None:
    rows = [TALK, {"messages": [SYSTEM, *TALK["messages"]]}, TALK]

    prepared = prepared_with("gemma", rows, dataset_streaming=True, max_steps=1)

    assert len(prepared.texts()) == 2
    assert "set merge_system_message: true" in prepared.notes()["Warning TemplateRefuses"]


def test_conversational_prompts_are_checked_too(prepared_with: Any) -> None:
    user, answer = TALK["messages"]
    rows = [
        {"prompt": [user], "completion": [answer]},
        {"prompt": [SYSTEM, user], "completion": [answer]},
    ]

    prepared = prepared_with("gemma", rows)

    (reason,) = prepared.loaded.dropped["train"]
    assert "the role system" in reason
    assert "turn 1 of row 2" in reason


def test_no_row_number_is_reported_after_rows_were_omitted(prepared_with: Any) -> None:
    rows = [{"messages": None}, TALK, {"messages": [SYSTEM, *TALK["messages"]]}]

    prepared = prepared_with("gemma", rows)

    assert prepared.loaded.dropped["train"] == {
        "messages is null": 1,
        'the chat template refuses the role system ("System role not supported")': 1,
    }


def test_each_structure_is_checked_once_however_many_rows_have_it(
    prepared_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks.chat.trial import Template

    tried, try_on = [], Template.try_on

    def counted(self: Template, conversation: Any) -> Any:
        tried.append(conversation)
        return try_on(self, conversation)

    monkeypatch.setattr(Template, "try_on", counted)
    long = said(*[f"turn {n}" for n in range(40)])
    rows = [said(f"Where is boat {n}?", f"At pier {n}.") for n in range(300)] + [long] * 20

    prepared_with("qwen2_5", rows)

    assert len(tried) == 2


def test_only_the_most_frequent_of_many_structures_are_checked_and_the_rest_is_noted(
    prepared_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks.data import fitting

    monkeypatch.setattr(fitting, "MOST_STRUCTURES", 2)
    odd = [turns(("user", "a"), *[("tool", "b")] * n, ("assistant", "c")) for n in (1, 2)]

    prepared = prepared_with("qwen2_5", [*odd, TALK, TALK])

    assert prepared.notes()["Info NotKnown"].startswith(
        "1 rows of train were not checked with the chat template: only rows of the 2 most frequent"
    )


def test_content_in_text_parts_is_text_for_a_text_template(prepared_with: Any) -> None:
    row = turns(
        ("user", [{"type": "text", "text": "Where is "}, {"type": "text", "text": "boat 0?"}]),
        ("assistant", [{"type": "text", "text": "At pier 0."}]),
    )

    prepared = prepared_with("gemma", [row])

    assert "Where is boat 0?" in prepared.texts()[0]
    assert "At pier 0." in prepared.texts()[0]
    assert prepared.notes() == {}


def test_no_note_contains_the_words_of_a_row(prepared_with: Any) -> None:
    rows = [TALK, {"messages": [{"role": "system", "content": "SECRET"}, *TALK["messages"]]}]

    prepared = prepared_with("gemma", rows)

    assert "SECRET" not in json.dumps([prepared.notes(), dict(prepared.loaded.dropped)])
