# SPDX-License-Identifier: Apache-2.0
"""Fetches the `config.json` of jobs' models by HTTP from the hub that the platform team sets, and
parts of their files.

A missing model, or a hub that does not respond, changes nothing and blocks nothing. Without a hub
no request is made.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from finetune_contract.documents import parse_object
from finetune_operator.kube.model_files import find_files, known_model
from finetune_operator.objects.raw import Body
from finetune_operator.telemetry.logs import say
from finetune_spec.config.parse.sft_config import ADAPTER_BASE, AS_MODEL, MODEL
from finetune_spec.job import KnownModel

TIMEOUT_SECONDS = 3.0
"""A pass over a job waits no longer than this for its model."""

KNOWN_FOR_SECONDS = 3600.0
"""A branch of a model may change."""

MISSING_FOR_SECONDS = 300.0
SILENT_FOR_SECONDS = 60.0
"""After a missing response, no request is made to the hub for this time."""

MOST_MODELS = 500
LARGEST_BYTES = 1024 * 1024

MOST_FACTS = 500
"""Entries kept of one config; known configs have fewer than a hundred."""
MOST_FACTS_OF_ALL = 50_000
LONGEST_TEXT = 200
LONGEST_LIST = 50

Config = Mapping[str, Any]

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_HUB_NAME = re.compile(rf"{_PART}(/{_PART})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The model of a config, if it is a name on the hub."""

    name: str
    revision: str

    def url(self, template: str) -> str:
        return template.replace("{model}", self.name).replace(
            "{revision}", quote(self.revision, safe="")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    model: KnownModel | None
    good_until: float

    @property
    def facts(self) -> int:
        if self.model is None:
            return 1
        return _number_of_facts(self.model.config) + len(self.model.modules) + 1


def model_of(body: Body) -> Model | None:
    """The hub name in a job; None for a path, a location in a store, or no name at all. For an
    adapter it is its base model's, if the job names that: an adapter has no config.json.
    """
    config = body["spec"].get("config") or {}
    name, revision = config.get(MODEL), config.get("model_revision") or "main"
    if config.get(AS_MODEL):
        name, revision = config.get(ADAPTER_BASE), "main"
    if not isinstance(name, str) or not isinstance(revision, str):
        return None
    name = name.removeprefix("hf://")
    return Model(name=name, revision=revision) if _HUB_NAME.fullmatch(name) else None


class ModelConfigs:
    """Requests each model once, and caches the response."""

    def __init__(self, template: str | None, monotonic: Callable[[], float]) -> None:
        self._template = template
        self._monotonic = monotonic
        self._answers: dict[Model, _Answer] = {}
        self._asking: dict[Model, asyncio.Task[KnownModel | None]] = {}
        self._silent_until = float("-inf")
        self._facts = 0
        """The size of all responses together."""

    async def find(self, body: Body) -> KnownModel | None:
        """The facts of this job's model, or None if unknown."""
        model = model_of(body)
        if self._template is None or model is None:
            return None
        answer = self._answers.get(model)
        if answer is not None and self._monotonic() < answer.good_until:
            return answer.model
        stale = None if answer is None else answer.model
        if self._monotonic() < self._silent_until:
            return stale
        if model not in self._asking:
            self._asking[model] = asyncio.create_task(self._ask(model, self._template))
        # Another job may wait for the same response: cancelling one must not cancel the other.
        found = await asyncio.shield(self._asking[model])
        return stale if found is None else found

    async def _ask(self, model: Model, template: str) -> KnownModel | None:
        known = None
        try:
            known = await _fetch(model.url(template))
        except (_HubFails, aiohttp.ClientConnectionError, TimeoutError) as error:
            self._silent_until = self._monotonic() + SILENT_FOR_SECONDS
            say("hub does not answer", model=model.name, error=error)
            return None
        except Exception as error:  # noqa: BLE001 - an answer may be anything; a job must continue
            say("model config not read", model=model.name, revision=model.revision, error=error)
        finally:
            del self._asking[model]
        # A user who mends a damaged model applies the job again.
        is_right = known is not None and not known.damage
        lasts = KNOWN_FOR_SECONDS if is_right else MISSING_FOR_SECONDS
        self._remember(model, _Answer(model=known, good_until=self._monotonic() + lasts))
        return known

    def _remember(self, model: Model, answer: _Answer) -> None:
        if (before := self._answers.pop(model, None)) is not None:
            self._facts -= before.facts
        self._answers[model] = answer
        self._facts += answer.facts
        while len(self._answers) > MOST_MODELS or self._facts > MOST_FACTS_OF_ALL:
            self._facts -= self._answers.pop(next(iter(self._answers))).facts


class _HubFails(Exception):
    """An error of the hub, with its message; not specific to one model, as far as is known."""


async def _fetch(url: str) -> KnownModel | None:
    """None if the hub has no such model, or denies access.

    Raises:
        _HubFails: the hub reports an error.
        ClientConnectionError: the hub does not respond.
        TimeoutError: the response takes too long.
        ClientError: the response is invalid, such as endless redirects.
        ValueError: the response is not a config.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    until = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
    # A compressed response of a few bytes can be of any size when unpacked.
    headers = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(
        timeout=timeout, headers=headers, auto_decompress=False
    ) as session:
        config = await _fetch_config(session, url)
        if config is None:
            return None
        files = None
        try:
            async with asyncio.timeout_at(until):
                files = await find_files(session, url)
        except (aiohttp.ClientError, TimeoutError) as error:
            say("model files not read", url=url, error=error)
    return await asyncio.to_thread(known_model, config, files)


async def _fetch_config(session: aiohttp.ClientSession, url: str) -> Config | None:
    async with session.get(url, max_redirects=3) as response:
        if response.status >= 500:
            raise _HubFails(f"{response.status} {response.reason}")
        if response.status != 200:
            return None
        content = await response.content.read(LARGEST_BYTES)
        while not response.content.at_eof() and len(content) < LARGEST_BYTES:
            content += await response.content.read(LARGEST_BYTES)
    # Deeper nesting than in a document of the contract is no config and is not parsed.
    return facts_of(parse_object(content, "config.json", 2 * LARGEST_BYTES))


def facts_of(config: Mapping[str, Any]) -> Config:
    """The usable part of a config: numbers, short texts, and short mappings and lists of them.

    The rest is dropped. A config.json may have 1 MiB, and takes twenty times that when parsed.
    """
    facts: Config = _facts(config, levels=3, room=[MOST_FACTS])
    return facts


def _facts(value: Any, levels: int, room: list[int]) -> Any:
    """None for values that are too deep, too long or too large."""
    if isinstance(value, dict) and levels:
        kept = {}
        for name, inner in value.items():
            if room[0] <= 0:
                break
            if len(name) <= LONGEST_TEXT:
                room[0] -= 1
                kept[name] = _facts(inner, levels - 1, room)
        return kept
    if isinstance(value, list) and levels:
        room[0] -= min(len(value), LONGEST_LIST)
        return [_facts(inner, levels - 1, room) for inner in value[:LONGEST_LIST]]
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else None
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    return value if isinstance(value, float) else None


def _number_of_facts(config: Any) -> int:
    if isinstance(config, dict | list):
        inner = config.values() if isinstance(config, dict) else config
        return 1 + sum(map(_number_of_facts, inner))
    return 1
