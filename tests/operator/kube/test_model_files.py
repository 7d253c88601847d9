# SPDX-License-Identifier: Apache-2.0
"""At apply, a model of the hub is also checked by its index and the header of one file.

The hub is a stub on 127.0.0.1 with ranges, not a real one.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.kube import model_files
from finetune_operator.kube.model_configs import (
    KNOWN_FOR_SECONDS,
    MISSING_FOR_SECONDS,
    ModelConfigs,
)
from finetune_operator.webhook.server import answer
from finetune_spec.job import KnownModel
from support.factories import CONFIG, SETTINGS, a_job_body
from support.model_folders import LLAMA, POINTER, tensors_of

INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def a_header(tensors: Mapping[str, tuple[int, ...]]) -> bytes:
    entries = {
        name: {"dtype": "BF16", "shape": [*shape], "data_offsets": [0, 0]}
        for name, shape in tensors.items()
    }
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header


def an_index(tensors: Mapping[str, str]) -> bytes:
    return json.dumps({"weight_map": tensors}).encode()


def in_shards(tensors: Mapping[str, tuple[int, ...]], **files: bytes) -> dict[str, bytes]:
    """A model in two files; the first has the embedding."""
    names = [*tensors]
    index = {name: SHARDS[place % 2] for place, name in enumerate(names)}
    shards = {
        shard: a_header({name: tensors[name] for name in names[place::2]})
        for place, shard in enumerate(SHARDS)
    }
    return {INDEX: an_index(index), **shards, **files}


class Hub:
    """Files of one model, the requests for them, and a stopped clock."""

    def __init__(self, files: Mapping[str, bytes], config: Mapping[str, Any] = LLAMA) -> None:
        self.files = {"config.json": json.dumps(config).encode(), **files}
        self.redirects: dict[str, str] = {}
        self.ignores_ranges = False
        self.waits = 0.0
        """Before a response about weights."""
        self.asked: list[str] = []
        self.sent = 0
        self.clock = 1000.0

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        if name in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[name]})
        if name not in self.files:
            return web.Response(status=404)
        if name.endswith(".safetensors"):
            await asyncio.sleep(self.waits)
        content = self.files[name]
        wanted = request.headers.get("Range")
        if wanted is None or self.ignores_ranges:
            self.sent += len(content)
            return web.Response(body=content)
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        self.sent += len(part)
        place = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return web.Response(status=206, body=part, headers={"Content-Range": place})

    async def serve(self, scene: Callable[[ModelConfigs], Awaitable[None]]) -> None:
        runner = web.ServerRunner(web.Server(self.respond), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            await scene(
                ModelConfigs(
                    f"{url}/{{model}}/resolve/{{revision}}/config.json", lambda: self.clock
                )
            )
        finally:
            await runner.cleanup()

    def known(self) -> KnownModel:
        found: list[KnownModel | None] = []

        async def scene(models: ModelConfigs) -> None:
            found.append(await models.find(a_body()))

        asyncio.run(self.serve(scene))
        assert found[0] is not None
        return found[0]


def a_body(**config: Any) -> dict[str, Any]:
    return a_job_body(config={**CONFIG, "model_name_or_path": "acme/tiny", **config})


def wrapped() -> dict[str, tuple[int, ...]]:
    return {f"_orig_mod.{name}": shape for name, shape in tensors_of().items()}


def without(part: str) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in tensors_of().items() if part not in name}


ANOTHER = {**tensors_of(), "model.embed_tokens.weight": (102, 16)}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({WEIGHTS: a_header(wrapped())}, "contain _orig_mod", id="wrapped, one file"),
        pytest.param(in_shards(wrapped()), "contain _orig_mod", id="wrapped, several files"),
        pytest.param(
            {WEIGHTS: a_header(without("lm_head"))}, "lack 1 tensor (lm_head", id="no head"
        ),
        pytest.param(in_shards(without("layers.1.")), "lack 7 tensors", id="an index of one layer"),
        pytest.param({WEIGHTS: a_header(ANOTHER)}, "has 102 rows", id="another vocabulary"),
        pytest.param(in_shards(ANOTHER), "has 102 rows", id="... in one of several files"),
        pytest.param({WEIGHTS: POINTER.encode()}, "is a Git LFS pointer", id="a pointer"),
        pytest.param(
            in_shards(tensors_of(), **{SHARDS[0]: POINTER.encode()}),
            f"{SHARDS[0]} is a Git LFS pointer",
            id="a pointer as one of several files",
        ),
    ],
)
def test_a_job_on_a_damaged_model_is_refused_at_apply(
    files: Mapping[str, bytes], sentence: str
) -> None:
    """Through the webhook, with the same rules as in `finetune plan` and the trainer."""
    reviews: list[Any] = []
    request = {
        "uid": "1",
        "kind": {"group": "finetune.dev", "kind": "FineTuneJob"},
        "operation": "CREATE",
        "namespace": "team",
        "object": a_body(),
    }

    async def scene(models: ModelConfigs) -> None:
        reviews.append(await answer(request, SETTINGS, models.find))

    asyncio.run(Hub(files).serve(scene))

    assert not reviews[0]["allowed"]
    message = reviews[0]["status"]["message"]
    assert "spec.config.model_name_or_path: " in message
    assert sentence in message
    assert "if the repository is not yours, name another model" in message


def test_a_sound_model_is_allowed_after_few_small_requests() -> None:
    one, several = (
        Hub({WEIGHTS: a_header(tensors_of()) + bytes(10**6)}),
        Hub(in_shards(tensors_of())),
    )

    assert one.known().damage == several.known().damage == ""

    assert one.asked == ["config.json", INDEX, WEIGHTS]
    assert several.asked == ["config.json", INDEX, SHARDS[0]]
    assert one.sent < 100_000


def test_matrices_of_a_model_in_one_file_are_known_without_their_numbers() -> None:
    known = Hub({WEIGHTS: a_header(tensors_of())}).known()

    assert "model.layers.0.mlp.up_proj" in known.modules
    assert not [it for it in known.modules if ".1." in it]
    assert Hub(in_shards(tensors_of())).known().modules == ()


def test_a_damaged_model_is_asked_for_again_sooner_than_a_sound_one() -> None:
    hub = Hub({WEIGHTS: a_header(wrapped())})
    damages: list[bool] = []

    async def scene(models: ModelConfigs) -> None:
        for seconds in (0.0, MISSING_FOR_SECONDS + 1, MISSING_FOR_SECONDS + 1, KNOWN_FOR_SECONDS):
            hub.clock += seconds
            known = await models.find(a_body())
            damages.append(known is not None and bool(known.damage))
            hub.files[WEIGHTS] = a_header(tensors_of())

    asyncio.run(hub.serve(scene))

    assert damages == [True, False, False, False]
    assert hub.asked.count("config.json") == 3


MANY = {f"{'x' * 200}.{number}.weight": (1, 1) for number in range(5_000)}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="neither an index nor one file"),
        pytest.param({WEIGHTS: b"<html>"}, id="a page"),
        pytest.param({WEIGHTS: b""}, id="an empty file"),
        pytest.param({WEIGHTS: (2**63).to_bytes(8, "little")}, id="a header of 2^63 bytes"),
        pytest.param(
            {WEIGHTS: (100 * 1024**2).to_bytes(8, "little") + b"{}"}, id="a header of 100 MiB"
        ),
        pytest.param(
            {WEIGHTS: (45_000).to_bytes(8, "little") + b'{"a":' * 9_000}, id="9,000 mappings"
        ),
        pytest.param({WEIGHTS: a_header(wrapped())[:-10]}, id="a header that is cut off"),
        pytest.param({WEIGHTS: a_header({**wrapped(), **MANY})}, id="a header of more than a MiB"),
        pytest.param({INDEX: b"[" * 100_000}, id="100,000 lists as an index"),
        pytest.param({INDEX: b'{"weight_map":' * 9_000}, id="9,000 mappings as an index"),
        pytest.param(in_shards({**wrapped(), **MANY}), id="an index of more than a MiB"),
        pytest.param(
            {INDEX: an_index({"model.embed_tokens.weight": "../../../admin"})}, id="another path"
        ),
        pytest.param(
            {INDEX: an_index({"model.embed_tokens.weight": "a.safetensors?x=1"})}, id="a query"
        ),
        pytest.param({INDEX: an_index({"model.embed_tokens.weight": ".."})}, id="the way up"),
        pytest.param(
            {INDEX: an_index({"model.embed_tokens.weight": "http:%2f%2fx.safetensors"})},
            id="another host",
        ),
    ],
)
def test_files_that_cannot_be_read_change_nothing(files: Mapping[str, bytes]) -> None:
    hub = Hub(files)

    assert hub.known() == KnownModel(config=LLAMA)

    assert len(hub.asked) <= 4
    assert {*hub.asked} <= {"config.json", INDEX, WEIGHTS, *SHARDS}
    assert hub.sent < 3 * 1024**2


def test_without_ranges_only_headers_within_the_beginning_are_read() -> None:
    small = Hub({WEIGHTS: a_header(wrapped()) + bytes(10**6)})
    large = Hub({WEIGHTS: a_header({**wrapped(), **{it: MANY[it] for it in [*MANY][:500]}})})
    small.ignores_ranges = large.ignores_ranges = True

    assert "_orig_mod" in small.known().damage
    assert large.known().damage == ""


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(f"/acme/tiny/resolve/main/{WEIGHTS}", id="to itself"),
        pytest.param("http://127.0.0.1:1/x", id="to a server that does not respond"),
        pytest.param("file:///etc/passwd", id="to a file"),
        pytest.param("http://[", id="to no address"),
    ],
)
def test_a_redirect_that_leads_nowhere_leaves_the_config(address: str) -> None:
    hub = Hub({})
    hub.redirects[WEIGHTS] = address

    assert hub.known() == KnownModel(config=LLAMA)
    assert len(hub.asked) < 10


def test_an_index_is_judged_if_its_files_are_out_of_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As behind a network policy that allows the hub and not the servers of its large files."""
    monkeypatch.setattr(model_files, "HEADER_SECONDS", 0.05)
    hub = Hub(in_shards(wrapped()))
    hub.waits = 60.0

    assert "contain _orig_mod" in hub.known().damage


def test_a_slow_server_of_weights_delays_a_job_by_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_files, "HEADER_SECONDS", 0.05)
    hub = Hub({WEIGHTS: a_header(wrapped())})
    hub.waits = 60.0

    assert hub.known() == KnownModel(config=LLAMA)


def test_a_url_of_another_form_only_gives_the_config() -> None:
    hub = Hub({WEIGHTS: a_header(wrapped())})
    found: list[KnownModel | None] = []

    async def scene(models: ModelConfigs) -> None:
        template = f"{models._template}?download=1"
        found.append(await ModelConfigs(template, lambda: 0.0).find(a_body()))

    asyncio.run(hub.serve(scene))

    assert found == [KnownModel(config=LLAMA)]
    assert hub.asked == ["config.json"]
