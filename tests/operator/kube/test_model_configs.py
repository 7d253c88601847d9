# SPDX-License-Identifier: Apache-2.0
"""Information about a job's memory before any GPU is requested, with a hub on 127.0.0.1."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.job.reconcile import reconcile
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.model_configs import (
    KNOWN_FOR_SECONDS,
    MISSING_FOR_SECONDS,
    SILENT_FOR_SECONDS,
    ModelConfigs,
    model_of,
)
from finetune_operator.objects import conditions
from finetune_operator.objects.names import JobKey
from finetune_operator.objects.raw import Body
from finetune_operator.runtime.worker import Worker
from finetune_operator.work_queue import WorkQueue
from finetune_spec.job import KnownModel
from support.factories import CONFIG, NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster

LLAMA: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
"""The numbers of Llama 3 8B."""

KNOWN = KnownModel(config=LLAMA)
"""What is known of it from this config.json alone."""

GIB = 1024**3


def a_body(model: str = "acme/llama", **config: Any) -> dict[str, Any]:
    return a_job_body(config={**CONFIG, "model_name_or_path": model, "use_peft": True, **config})


class Hub:
    """A hub, the operator's client of it, and a stopped clock."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self.asked: list[str] = []
        self.clock = 1000.0

    async def connect(self) -> None:
        self._runner = web.ServerRunner(self._server)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        [address] = self._runner.addresses
        template = f"http://127.0.0.1:{address[1]}/{{model}}/resolve/{{revision}}/config.json"
        self.models = ModelConfigs(template, lambda: self.clock)

    async def disconnect(self) -> None:
        await self._runner.cleanup()


Answer = Callable[[str], web.Response]


def found(path: str) -> web.Response:
    del path
    return web.json_response(LLAMA)


def play(scene: Callable[[Hub], Awaitable[None]], answer: Answer = found) -> Hub:
    async def run() -> Hub:
        async def respond(request: web.BaseRequest) -> web.Response:
            if not request.path.endswith("/config.json"):
                return web.Response(status=404)  # test_model_files.py has the other files.
            hub.asked.append(request.raw_path)
            return answer(request.path)

        hub = Hub(web.Server(respond))
        await hub.connect()
        try:
            await scene(hub)
        finally:
            await hub.disconnect()
        return hub

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "model"),
    [
        pytest.param("acme/llama", "acme/llama", id="a name on the hub"),
        pytest.param("gpt2", "gpt2", id="a name without an owner"),
        pytest.param("hf://acme/llama", "acme/llama", id="with its scheme"),
        pytest.param("s3://models/llama", None, id="a place in a store"),
        pytest.param("/models/llama", None, id="a path"),
        pytest.param("../../admin", None, id="a way out of the hub"),
        pytest.param("acme/llama/../../x", None, id="a way out in the middle"),
        pytest.param("acme/llama?x=1", None, id="a query"),
        pytest.param(".hidden/llama", None, id="a hidden name"),
        pytest.param(7, None, id="no text"),
    ],
)
def test_only_hub_names_are_requested(name: Any, model: str | None) -> None:
    named = model_of(a_body(name))

    assert (named.name if named else None) == model


@pytest.mark.parametrize("how", ["continue", "merge"])
@pytest.mark.parametrize(
    ("named", "model"),
    [
        pytest.param({"adapter_base_model": "acme/llama"}, "acme/llama", id="of the hub"),
        pytest.param({"adapter_base_model": "s3://models/llama"}, None, id="in a store"),
        pytest.param({"adapter_base_model": 7}, None, id="no text"),
        pytest.param({}, None, id="which only the adapter names"),
    ],
)
def test_for_an_adapter_its_base_model_is_requested(
    how: str, named: Mapping[str, Any], model: str | None
) -> None:
    found = model_of(a_body("acme/adapter", adapter_as_model=how, model_revision="v2", **named))

    assert (found and (found.name, found.revision)) == (model and (model, "main"))


def test_a_revision_cannot_escape_its_segment_of_the_url() -> None:
    model = model_of(a_body(model_revision="../x?y"))

    assert model is not None
    assert model.url("http://hub/{model}/{revision}/c") == "http://hub/acme/llama/..%2Fx%3Fy/c"


def test_a_model_is_requested_once() -> None:
    async def scene(hub: Hub) -> None:
        answers = await asyncio.gather(*(hub.models.find(a_body()) for _ in range(5)))

        assert answers == [KNOWN] * 5
        assert await hub.models.find(a_body()) == KNOWN

    assert play(scene).asked == ["/acme/llama/resolve/main/config.json"]


def test_a_model_is_requested_again_after_an_hour() -> None:
    async def scene(hub: Hub) -> None:
        await hub.models.find(a_body())
        hub.clock += KNOWN_FOR_SECONDS + 1
        await hub.models.find(a_body())

    assert len(play(scene).asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: web.Response(status=404), id="not there"),
        pytest.param(lambda _: web.Response(status=401), id="not for everybody"),
        pytest.param(lambda _: web.Response(text="<html>"), id="no JSON"),
        pytest.param(lambda _: web.json_response([]), id="no object"),
        pytest.param(lambda _: web.Response(body=b"[" * 100_000), id="nested beyond reading"),
    ],
)
def test_a_model_that_is_not_accessible_is_not_requested_for_a_while(answer: Answer) -> None:
    async def scene(hub: Hub) -> None:
        assert await hub.models.find(a_body()) is None
        assert await hub.models.find(a_body()) is None
        assert len(hub.asked) == 1
        hub.clock += MISSING_FOR_SECONDS + 1
        assert await hub.models.find(a_body()) is None

    assert len(play(scene, answer).asked) == 2


def test_a_failing_hub_is_not_contacted_for_a_while() -> None:
    async def scene(hub: Hub) -> None:
        for name in ("acme/one", "acme/two"):
            assert await hub.models.find(a_body(name)) is None
        assert len(hub.asked) == 1
        hub.clock += SILENT_FOR_SECONDS + 1
        assert await hub.models.find(a_body("acme/two")) is None

    assert len(play(scene, lambda _: web.Response(status=503)).asked) == 2


def redirected(path: str) -> web.Response:
    return web.Response(status=302, headers={"Location": path})


BOMB = gzip.compress(b" " * 200 * 1024**2)


def zipped(path: str) -> web.Response:
    body = BOMB
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(redirected, id="redirects without end"),
        pytest.param(zipped, id="200 MiB in a few bytes"),
        pytest.param(lambda _: web.Response(body=b"[" * 10**6), id="a million lists"),
        pytest.param(lambda _: web.Response(body=b"[]"), id="a list"),
        pytest.param(lambda _: web.Response(body=b"\xff" * 99), id="no text"),
    ],
)
def test_an_unreadable_model_does_not_block_others(
    hostile: Answer,
) -> None:
    def answer(path: str) -> web.Response:
        return hostile(path) if "evil" in path else found(path)

    async def scene(hub: Hub) -> None:
        tracemalloc.start()
        assert await hub.models.find(a_body("evil/model")) is None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert await hub.models.find(a_body()) == KNOWN
        assert peak < 20 * 1024**2

    play(scene, answer)


def test_a_known_model_is_kept_while_the_hub_is_down() -> None:
    async def scene(hub: Hub) -> None:
        await hub.models.find(a_body())
        await hub.disconnect()
        hub.clock += KNOWN_FOR_SECONDS + 1

        assert await hub.models.find(a_body()) == KNOWN

    play(scene)


def test_without_a_url_nothing_is_requested() -> None:
    models = ModelConfigs(None, lambda: 0.0)

    assert asyncio.run(models.find(a_body())) is None


def status_of(body: dict[str, Any], model: Mapping[str, Any] | None, gpu: int | None) -> Any:
    cluster = FakeCluster(body)
    settings = replace(SETTINGS, gpu_memory_bytes=gpu)

    async def find_model(_: Any) -> KnownModel | None:
        return None if model is None else KnownModel(config=model)

    asyncio.run(reconcile(body, cluster=cluster, settings=settings, now=NOW, find_model=find_model))
    return cluster.job["status"]


def test_memory_is_estimated_before_the_first_attempt() -> None:
    body = a_body()
    status = status_of({**body, "spec": {**body["spec"], "suspend": True}}, LLAMA, None)

    assert "attempts" not in status
    assert status["memory"]["estimated"].endswith("Gi")


def test_a_job_that_needs_more_than_a_gpu_has_is_accepted_with_a_warning() -> None:
    status = status_of(a_body(per_device_train_batch_size=1), LLAMA, 24 * GIB)

    accepted = conditions.require(status["conditions"], "Accepted")
    assert accepted["status"] == "True"
    assert "warning: spec.config: needs an estimated " in accepted["message"]
    assert "but these have 24Gi: set dtype: bfloat16 (" in accepted["message"]


@pytest.mark.parametrize(
    ("model", "gpu"),
    [
        pytest.param(LLAMA, 640 * GIB, id="it fits"),
        pytest.param(LLAMA, None, id="the GPUs' size is not set"),
        pytest.param(None, GIB, id="the model is not known"),
        pytest.param({"hidden_size": 0}, GIB, id="the config.json is empty"),
        pytest.param({**LLAMA, "head_dim": "x"}, GIB, id="the config.json is nonsense"),
    ],
)
def test_a_job_that_fits_gets_no_warning(model: Mapping[str, Any] | None, gpu: int | None) -> None:
    status = status_of(a_body(), model, gpu)

    assert (
        "needs an estimated" not in conditions.require(status["conditions"], "Accepted")["message"]
    )


def test_a_context_longer_than_the_models_is_reported() -> None:
    status = status_of(a_body(max_length=100_000), LLAMA, None)

    assert "max_length" in conditions.require(status["conditions"], "Accepted")["message"]


def test_a_worker_fetches_the_model_before_it_processes_the_job() -> None:
    class Cluster(FakeCluster):
        async def write_status(self, body: Body, patch: Mapping[str, Any]) -> None:
            await super().write_status(body, patch)
            written.set()

    cluster, written = Cluster(a_body()), asyncio.Event()

    async def scene(hub: Hub) -> None:
        queue, cache = WorkQueue[JobKey](), ObjectCache()
        queue.add(cache.remember(Kind.JOB, cluster.job))
        worker = Worker(queue, cache, cluster, SETTINGS, lambda: NOW, hub.models.find)
        working = asyncio.create_task(worker.run())
        await written.wait()
        working.cancel()

    play(scene)

    assert "estimated" in cluster.job["status"]["memory"]
