# SPDX-License-Identifier: Apache-2.0
"""A job that is nested too deep affects no other in a list; `test_watch` has the watches."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.shallow import DEEPEST, cut_deep, parse_json
from finetune_operator.kube.client import KubeApi
from finetune_operator.objects.names import FINETUNE_JOBS
from support.factories import a_job_body
from support.long_form import keeping
from support.served import a_login, served

KINDS = {
    "mappings": lambda levels: '{"a":' * levels + "1" + "}" * levels,
    "lists": lambda levels: "[" * levels + "]" * levels,
    "both": lambda levels: '[{"a":' * (levels // 2) + "1" + "}]" * (levels // 2),
    "with other keys": lambda levels: '{"b":[{}],"a":' * levels + "1" + ',"c":"}"}' * levels,
}


def depth_of(value: Any) -> int:
    depth, level = 0, [value]
    while containers := [it for it in level if isinstance(it, dict | list)]:
        depth += 1
        level = [
            inner for it in containers for inner in (it.values() if isinstance(it, dict) else it)
        ]
    return depth


@pytest.mark.parametrize(
    "levels", keeping(("101", "1100", "9000"), [101, 150, 850, 1100, 9000, 100_000])
)
@pytest.mark.parametrize("kind", KINDS)
def test_json_of_any_depth_is_read_and_truncated(kind: str, levels: int) -> None:
    deep = '{"before":1,"deep":' + KINDS[kind](levels) + ',"after":[2]}'

    value = parse_json(deep.encode())

    assert (value["before"], value["after"]) == (1, [2])
    assert depth_of(value) == DEEPEST


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[1,{"b":"[[[[{{{{"}]}',
        "[" + "[]," * 1000 + "[]]",
        '"' + "[" * 5000 + '"',
        '["' + r"\"[{" * 500 + '"]',
        "[" * DEEPEST + "]" * DEEPEST,
        '{"\\\\":"' + "{" * 300 + '"}',
        "[]",
        "1",
    ],
)
def test_shallow_json_is_unchanged(text: str) -> None:
    assert cut_deep(text.encode()) == text.encode()


TRICKY = st.text(alphabet='[]{}"\\,:a\n', max_size=8)
VALUES = st.recursive(
    TRICKY | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3),
    max_leaves=6,
)


@given(value=VALUES, around=VALUES, levels=st.integers(DEEPEST - 8, DEEPEST + 8))
def test_brackets_and_quotes_in_strings_do_not_count(value: Any, around: Any, levels: int) -> None:
    deep = [around, value]
    for _ in range(levels):
        deep = [around, deep]
    text = json.dumps(deep)

    is_unchanged = cut_deep(text.encode()) == text.encode()

    assert is_unchanged == (depth_of(deep) <= DEEPEST)
    assert depth_of(parse_json(text.encode())) == min(depth_of(deep), DEEPEST)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "[" * 9000 + "]",
        "]" * 5000,
        "{",
        '{"a": ' * 200,
        '"' * 100_001 + "[" * 101,
        "{" * 101 + '"',
    ],
)
def test_invalid_json_is_a_value_error_found_early(text: str) -> None:
    began = time.process_time()

    with pytest.raises(ValueError):  # noqa: PT011 - whichever words
        parse_json(text.encode())

    assert time.process_time() - began < 1


def test_json_in_utf_16_is_a_value_error() -> None:
    text = '["\u2200",' + "[" * 3000 + '"'

    with pytest.raises(ValueError):  # noqa: PT011 - whichever words
        parse_json(text.encode("utf-16-le"))


def a_deep_job(name: str, levels: int) -> str:
    job = json.dumps({**a_job_body(name=name), "deep": "HERE"})
    return job.replace('"HERE"', KINDS["mappings"](levels))


@pytest.mark.parametrize("levels", [850, 1100, 9000])
def test_a_list_with_a_deeply_nested_job_has_all_its_jobs(levels: int) -> None:
    items = ",".join([a_deep_job("hostile", levels), json.dumps(a_job_body(name="balloon"))])

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        text = '{"metadata":{},"items":[' + items + "]}"
        return web.Response(text=text, content_type="application/json")

    async def scene(server: str) -> None:
        kube = KubeApi(a_login(server))
        names = [it["metadata"]["name"] async for it in kube.list_all(FINETUNE_JOBS, "")]
        await kube.close()
        assert names == ["hostile", "balloon"]

    asyncio.run(served(handle, scene))
