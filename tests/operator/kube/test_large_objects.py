# SPDX-License-Identifier: Apache-2.0
"""Jobs of 1 MB and model configs of 1 MB cost a replica no more than small ones."""

import asyncio
import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import KubeApi
from finetune_operator.kube.model_configs import MOST_FACTS, facts_of
from finetune_operator.kube.pages import (
    LARGEST_PAGE,
    MOST_PAGE_BYTES,
    next_limit,
    parse_event,
    parse_object,
    parse_page,
    parse_uids,
)
from finetune_operator.objects.large import (
    LARGE_BYTES,
    MOST_STATUS_BYTES,
    LargeBody,
    as_kept,
    is_outline,
    outline_of,
)
from finetune_operator.objects.names import FINETUNE_JOBS
from support.factories import CONFIG, a_job_body, a_training_job
from support.served import a_login, served

MIB = 1024 * 1024
LARGE = {
    "one long text": "x" * MIB,
    "empty mappings": [{}] * (MIB // 4),
    "numbers": list(range(MIB // 8)),
    "short texts": {f"key-{number}": "value" for number in range(MIB // 24)},
}


def a_large_job(name: str, value: Any, **metadata: Any) -> dict[str, Any]:
    fields = {"managedFields": [{"manager": "kubectl"}], **metadata}
    return a_job_body(name, uid=name, config={**CONFIG, "large": value}, metadata=fields)


def kept(body: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_large_object_is_reduced_in_the_same_way_from_lists_and_watches(value: Any) -> None:
    job = a_large_job("large", value)
    small = a_job_body("small", uid="small")
    text = json.dumps(job)

    page = parse_page(json.dumps({"metadata": {"continue": "x"}, "items": [small, job]}).encode())
    event = parse_event(json.dumps({"type": "ADDED", "object": job}).encode())
    whole = parse_object(text.encode())
    bodies = [as_kept(whole), as_kept(page["items"][1]), as_kept(event["object"])]

    assert (page["metadata"], page["items"][0]) == ({"continue": "x"}, small)
    assert event["type"] == "ADDED"
    assert whole == job
    for body in bodies:
        assert is_outline(body)
        assert "spec" not in body
        assert body["metadata"] == kept(job)["metadata"]


TEXTS = {f"key-{number}": "v" * 200 for number in range(1000)}
OWNERS = [{"kind": "ConfigMap", "name": f"a{number}", "uid": f"{number}"} for number in range(1000)]
CONTROLLER = {"kind": "FineTuneSchedule", "name": "nightly", "uid": "1", "controller": True}
LARGE_BESIDE_THE_SPEC: dict[str, dict[str, Any]] = {
    "annotations": {"metadata": {"annotations": {**TEXTS, "finetune.dev/scheduled-at": "now"}}},
    "our own annotations": {
        "metadata": {"annotations": {f"finetune.dev/{it}": "v" for it in range(9000)}}
    },
    "a long annotation of ours": {"metadata": {"annotations": {"finetune.dev/a": "x" * 200_000}}},
    "labels": {"metadata": {"labels": {**TEXTS, "finetune.dev/schedule": "nightly"}}},
    "owners": {"metadata": {"ownerReferences": [*OWNERS, CONTROLLER]}},
    "a status by hand": {"status": {"runId": "x" * MIB}},
    "adjustments by hand": {"status": {"attempts": [{"adjustments": {"a": [{}] * 100_000}}]}},
}


@pytest.mark.parametrize("given", LARGE_BESIDE_THE_SPEC.values(), ids=LARGE_BESIDE_THE_SPEC)
def test_any_large_object_is_reduced_to_a_small_one(given: dict[str, Any]) -> None:
    text = json.dumps(a_job_body(**given))

    body = as_kept(parse_object(text.encode()))

    assert len(text) > LARGE_BYTES
    assert len(json.dumps(body)) < 20_000


def test_an_outline_has_the_fields_that_are_read_between_two_passes() -> None:
    metadata = {
        "annotations": {"finetune.dev/scheduled-at": "now", "note": "x"},
        "labels": {"finetune.dev/schedule": "nightly", "team": "a"},
        "ownerReferences": [*OWNERS, CONTROLLER],
    }
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}

    body = outline_of(a_job_body(metadata=metadata, status=status))

    assert body["status"] == status
    assert body["metadata"]["annotations"] == {"finetune.dev/scheduled-at": "now"}
    assert body["metadata"]["labels"] == {"finetune.dev/schedule": "nightly"}
    assert body["metadata"]["ownerReferences"] == [CONTROLLER]
    assert body["metadata"]["resourceVersion"] == a_job_body()["metadata"]["resourceVersion"]


def test_a_large_child_keeps_the_fields_that_its_job_depends_on() -> None:
    child = a_training_job()
    child["spec"] |= {"completionMode": "Indexed", "parallelism": 4, "suspend": True}
    child["spec"]["template"] = {"spec": {"containers": [{"env": [{}] * 50_000}]}}

    body = as_kept(LargeBody(child))

    assert {"completionMode": "Indexed", "parallelism": 4, "suspend": True}.items() <= body[
        "spec"
    ].items()
    assert "template" not in body["spec"]
    assert body["status"] == child["status"]
    assert body["metadata"]["labels"] == child["metadata"]["labels"]


def test_the_operators_own_status_is_kept_in_a_large_object() -> None:
    status = {"attempts": [{"message": "x" * 1000}] * (MOST_STATUS_BYTES // 1100)}

    assert outline_of(a_large_job("a", "x" * MIB) | {"status": status})["status"] == status


@pytest.mark.parametrize("items", [[], [a_job_body()], [a_large_job("a", "x" * MIB)]])
@pytest.mark.parametrize("is_last", [False, True])
def test_a_page_is_read_with_its_keys_in_any_order(items: list[Any], is_last: bool) -> None:
    rest: dict[str, Any] = {"kind": "FineTuneJobList", "metadata": {"resourceVersion": "7"}}
    page = {**rest, "items": items} if is_last else {"items": items, **rest}
    text = json.dumps(page).encode() + b" " * (MIB if not items else 0)

    parsed = parse_page(text)

    assert parsed["metadata"] == {"resourceVersion": "7"}
    expected = [as_kept(LargeBody(it) if len(json.dumps(it)) > MIB else it) for it in items]
    assert [dict(as_kept(item)) for item in parsed["items"]] == expected


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "APIResourceList", "resources": [{"name": "x" * 100}] * 2000},
        {"kind": "Odd", "inner": {"items": [{"metadata": {}}] * 20_000}},
    ],
)
def test_a_large_answer_that_is_not_a_list_is_read_too(answer: dict[str, Any]) -> None:
    assert parse_page(json.dumps(answer).encode()) == answer


@pytest.mark.parametrize("parse", [parse_page, parse_uids])
def test_an_empty_list_of_metadata_has_no_items(parse: Callable[[bytes], dict[str, Any]]) -> None:
    page = parse(b'{"kind":"PartialObjectMetadataList","metadata":{},"items":null}')

    assert page["items"] == []


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_all_uids_of_a_list_are_found_in_any_form_of_its_json(
    is_last: bool, separators: tuple[str, str]
) -> None:
    hostile = {"annotations": {"a": '"uid":"forged"', "b": "]}"}, "uid": "second"}
    items = [{"metadata": {"name": "a", "uid": "first"}}, {"metadata": hostile}]
    rest = {"kind": "PartialObjectMetadataList", "metadata": {"continue": "more"}}
    page = {**rest, "items": items} if is_last else {"items": items, **rest}

    parsed = parse_uids(json.dumps(page, separators=separators).encode() + b"\n")

    assert parsed["items"] == ["first", "second"]
    assert parsed["metadata"] == {"continue": "more"}


def test_a_truncated_list_of_uids_is_a_value_error() -> None:
    text = b'{"metadata":{},"items":[{"metadata":{"uid":"a"}},{"metadata":{"uid":"b"'

    with pytest.raises(ValueError, match=r"."):
        parse_uids(text)


def test_a_truncated_page_is_a_value_error() -> None:
    text = '{"items":[' + json.dumps(a_large_job("a", "x" * MIB))
    for end in ("", ",", ",{"):
        with pytest.raises(ValueError, match=r"."):
            parse_page((text + end).encode())


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=name, marks=[] if name == "empty mappings" else [pytest.mark.long])
        for name, value in LARGE.items()
    ],
)
def test_the_cache_of_many_large_jobs_is_as_small_as_that_of_small_ones(value: Any) -> None:
    lines = [
        json.dumps({"type": "ADDED", "object": a_large_job(f"large-{number}", value)}).encode()
        for number in range(10)
    ]
    cache = ObjectCache()

    tracemalloc.start()
    for line in lines:
        cache.remember(Kind.JOB, parse_event(line)["object"])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 10 * 10_000
    # Parsed one after the other.
    assert peak < 25 * len(lines[0])
    assert len(cache.present(Kind.JOB)) == 10


def test_pages_shrink_before_they_become_too_large() -> None:
    small, large = 5_000, 1_500_000
    assert next_limit(20, 20 * small, 20) == 80
    assert next_limit(400, 400 * small, 400) == LARGEST_PAGE
    assert next_limit(20, 20 * large, 20) * large <= MOST_PAGE_BYTES
    assert next_limit(1, 100 * large, 1) == 1
    assert next_limit(20, 50, 0) == 20


def test_a_list_of_large_jobs_after_many_small_ones_is_complete_in_small_pages() -> None:
    noise = random.Random(1).randbytes(600_000).hex()  # noqa: S311 - nothing is secret
    jobs = [a_job_body(f"small-{number}", uid=f"s{number}") for number in range(300)]
    jobs += [a_large_job(f"large-{number}", noise) for number in range(30)]
    texts = [json.dumps(job) for job in jobs]
    read: list[int] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        begin, limit = int(request.query.get("continue") or 0), int(request.query["limit"])
        items = texts[begin : begin + limit]
        token = str(begin + limit) if begin + limit < len(texts) else ""
        text = f'{{"metadata":{{"continue":"{token}"}},"items":[{",".join(items)}]}}'
        read.append(len(text))
        return web.Response(text=text, content_type="application/json")

    async def scene(server: str) -> None:
        api = KubeApi(a_login(server))
        names = [it["metadata"]["name"] async for it in api.list_all(FINETUNE_JOBS, "")]
        await api.close()
        assert names == [job["metadata"]["name"] for job in jobs]

    asyncio.run(served(handle, scene))

    assert len(read) < 40
    # One response is too large and is abandoned; the following ones are small.
    assert sum(size > MOST_PAGE_BYTES for size in read) <= 3


CONFIG_JSON = {
    "model_type": "llama",
    "hidden_size": 4096,
    "text_config": {"num_hidden_layers": 32, "rope_scaling": {"factor": 8.0, "type": "llama3"}},
    "architectures": ["LlamaForCausalLM"],
    "tie_word_embeddings": False,
    "rope_scaling": None,
}


@pytest.mark.parametrize(
    "junk",
    [
        {"text": "x" * MIB},
        {"list": [{}] * 300_000},
        {f"key-{number}": number for number in range(80_000)},
        {"nested": {"a": {"b": {"c": {"d": [1] * 100_000}}}}},
        {"number": 10**4000},
        {"k" * MIB: 1},
        {"lists": [[[[1] * 100] * 100] * 100] * 10},
    ],
    ids=["text", "list", "keys", "nested", "number", "key", "lists"],
)
def test_only_the_used_keys_of_a_models_config_are_kept(junk: dict[str, Any]) -> None:
    facts = facts_of({**CONFIG_JSON, **junk})

    assert {name: facts[name] for name in CONFIG_JSON} == CONFIG_JSON
    assert len(json.dumps(facts)) < 100 * MOST_FACTS
