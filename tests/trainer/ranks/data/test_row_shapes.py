# SPDX-License-Identifier: Apache-2.0
"""One row in a custom format becomes a row that TRL reads, or is left out with a reason."""

from typing import Any

import pytest

pytestmark = pytest.mark.slow  # importing datasets and torch


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


def turns(*said: tuple[str, str | None]) -> dict[str, Any]:
    return {"conversations": [{"from": speaker, "value": value} for speaker, value in said]}


@pytest.mark.parametrize(
    ("shape", "row", "expected"),
    [
        pytest.param(
            "question_answer",
            {"question": "When?", "answer": "At 7."},
            {"messages": [user("When?"), assistant("At 7.")]},
            id="question and answer",
        ),
        pytest.param(
            "question_answer",
            {"question": "How many?", "answer": 7, "system": "Count."},
            {"messages": [system("Count."), user("How many?"), assistant("7")]},
            id="an answer that is a number, after a system message of its own",
        ),
        pytest.param(
            "alpaca",
            {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"},
            {"messages": [user("Translate.\n\nGuten Tag"), assistant("Good day")]},
            id="Alpaca with input",
        ),
        pytest.param(
            "alpaca",
            {"instruction": "Say hello.", "input": "", "output": "Hello"},
            {"messages": [user("Say hello."), assistant("Hello")]},
            id="Alpaca without input",
        ),
        pytest.param(
            "alpaca",
            {
                "instruction": "And where?",
                "input": None,
                "output": "At pier 9.",
                "history": [["When?", "At 7."]],
                "system": "Be brief.",
            },
            {
                "messages": [
                    *(system("Be brief."), user("When?"), assistant("At 7.")),
                    *(user("And where?"), assistant("At pier 9.")),
                ]
            },
            id="Alpaca with system and history",
        ),
        pytest.param(
            "sharegpt",
            turns(("system", "Be brief."), ("human", "When?"), ("gpt", "At 7.")),
            {"messages": [system("Be brief."), user("When?"), assistant("At 7.")]},
            id="ShareGPT",
        ),
        pytest.param(
            "sharegpt",
            {**turns(("Human", "When?"), ("gpt", "At 7.")), "system": "Be brief."},
            {"messages": [system("Be brief."), user("When?"), assistant("At 7.")]},
            id="ShareGPT with a column for the system message",
        ),
        pytest.param(
            "sharegpt",
            turns(
                ("human", "What time is it?"),
                ("function_call", '{"name": "clock", "arguments": {"zone": "CET"}}'),
                ("observation", "07:00"),
                ("gpt", "It is 7."),
            ),
            {
                "messages": [
                    user("What time is it?"),
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [
                            {
                                "type": "function",
                                "function": {"name": "clock", "arguments": {"zone": "CET"}},
                            }
                        ],
                    },
                    {"role": "tool", "content": "07:00"},
                    assistant("It is 7."),
                ]
            },
            id="ShareGPT with a function call",
        ),
        pytest.param(
            "pairs",
            {"pair": ["When?", "At 7."]},
            {"prompt": "When?", "completion": "At 7."},
            id="a pair",
        ),
    ],
)
def test_a_row_is_converted_to_trls_shape(
    shape: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    from finetune_trainer.ranks.data.shapes import FORMATS

    assert FORMATS[shape](row) == expected


@pytest.mark.parametrize(
    ("shape", "row", "reason"),
    [
        pytest.param(
            "question_answer", {"question": "When?", "answer": None}, "answer is empty", id="null"
        ),
        pytest.param(
            "question_answer", {"question": " \n", "answer": "7"}, "question is empty", id="blanks"
        ),
        pytest.param(
            "alpaca",
            {"instruction": "", "input": None, "output": "7"},
            "instruction is empty",
            id="no instruction",
        ),
        pytest.param("sharegpt", {"conversations": []}, "conversations is empty", id="no turns"),
        pytest.param("sharegpt", turns(("human", None)), "a turn is empty", id="an empty turn"),
        pytest.param(
            "sharegpt",
            turns(("narrator", "Once.")),
            "a turn is from 'narrator', which is not a supported role",
            id="an unknown speaker",
        ),
        pytest.param(
            "sharegpt",
            turns(("function_call", "clock()")),
            "a function_call is not JSON",
            id="a call in another language",
        ),
        pytest.param("pairs", {"pair": ["a", "b", "c"]}, "a pair is not a list of two", id="three"),
        pytest.param("pairs", {"pair": ["a", ""]}, "completion is empty", id="half a pair"),
    ],
)
def test_a_row_without_anything_to_train_is_omitted_with_its_reason(
    shape: str, row: dict[str, Any], reason: str
) -> None:
    from finetune_trainer.ranks.data.shapes import FORMATS, Unfit

    with pytest.raises(Unfit) as caught:
        FORMATS[shape](row)

    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        pytest.param({"q": "When?", "context": "Hours: 7"}, "Hours: 7\nQ: When? {}", id="texts"),
        pytest.param({"q": 7, "context": None}, "\nQ: 7 {}", id="a number, and a column of null"),
        pytest.param({"q": "{context}", "context": ""}, "\nQ: {context} {}", id="braces in data"),
        pytest.param({"q": ["a"], "context": "x"}, 'x\nQ: ["a"] {}', id="a list"),
    ],
)
def test_a_template_is_filled_from_the_columns(row: dict[str, Any], prompt: str) -> None:
    from finetune_trainer.ranks.data.shapes import Templates

    templates = Templates(prompt="{context}\nQ: {q} {{}}", completion=None)

    shaped = templates({**row, "completion": "At 7."})

    assert shaped == {"prompt": prompt, "completion": "At 7."}


def test_a_template_whose_columns_are_all_empty_gives_no_row() -> None:
    from finetune_trainer.ranks.data.shapes import Templates, Unfit

    templates = Templates(prompt="Q: {q}", completion="A: {a}")

    with pytest.raises(Unfit, match=r"^completion is empty$"):
        templates({"q": "When?", "a": None})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"text": None}, "text is null", id="text"),
        pytest.param({"prompt": None, "completion": "x"}, "prompt is null", id="prompt"),
        pytest.param({"messages": []}, "messages is empty", id="no turns"),
        pytest.param(
            {"messages": [{"role": "user", "content": None}]},
            "messages has a turn without content",
            id="a turn of null",
        ),
        pytest.param(
            {"messages": [user("a"), assistant("b")], "tools": "clock()"},
            "tools is not JSON",
            id="tools",
        ),
    ],
)
def test_a_row_in_trls_shape_that_trl_fails_on_is_omitted(row: dict[str, Any], reason: str) -> None:
    from finetune_trainer.ranks.data.shapes import Unfit, sound

    with pytest.raises(Unfit) as caught:
        sound(row, "text")

    assert str(caught.value) == reason


def test_a_turn_that_only_calls_a_tool_needs_no_content() -> None:
    from finetune_trainer.ranks.data.shapes import sound

    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}

    assert sound({"messages": [user("a"), call]}, "text") == {"messages": [user("a"), call]}
