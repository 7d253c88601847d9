# SPDX-License-Identifier: Apache-2.0
"""Small models and data for tests that train, and a hub to push to."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import base_model
from trainer.lab import Lab
from trainer.runs import a_folder
from trainer.two_ranks import TwoRanks

if TYPE_CHECKING:
    from trainer.hub_stub import HubStub

DIALOGUES = {
    "When do you open?": "We cast off at 7 in the morning.",
    "Where are you?": "On the red lightship at pier 9.",
    "Do you have soup?": "Lentil soup, from noon until it is gone.",
    "May I bring my dog?": "Dogs are crew.",
}


@pytest.fixture(autouse=True)
def _transfers_end_with_their_test() -> Iterator[None]:
    """A stop abandons transfers, which would write their log into the next tests."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("transfer"):
            thread.join()


@pytest.fixture(scope="session", autouse=True)
def _what_is_looked_at_in_turn_is_looked_at_sooner() -> Iterator[None]:
    from finetune_trainer.checkpoints import checkpoints, upload
    from finetune_trainer.publication.hub import checkpoints as of_a_hub
    from finetune_trainer.publication.hub import client
    from finetune_trainer.storage import transfer
    from finetune_trainer.supervision import launching

    with pytest.MonkeyPatch.context() as changed:
        for module in (checkpoints, upload, of_a_hub, client, transfer, launching):
            changed.setattr(module, "POLL_SECONDS", 0.05)
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with a few random weights, with SmolLM2's own tokenizer and chat template.

    A step takes milliseconds. If answers must make sense, `base_model.folder()` is the real SmolLM2
    with 135 million weights.
    """
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    place = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(base_model.folder())
    tokenizer.save_pretrained(place)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=2,
                max_position_embeddings=256,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    model.save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four conversations for training, and one of them for evaluation."""
    rows = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
        + "\n"
        for question, answer in DIALOGUES.items()
    ]
    files = {"train.jsonl": "".join(rows).encode(), "test.jsonl": rows[0].encode()}
    return a_folder(tmp_path_factory.mktemp("dialogues"), files)


@pytest.fixture(scope="session")
def sayings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen conversations of all lengths, and three for evaluation."""

    def rows(numbers: range) -> bytes:
        return b"".join(
            json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": f"Question {n}?"},
                        {"role": "assistant", "content": f"Well, {n}" + " and more" * (n % 5)},
                    ]
                }
            ).encode()
            + b"\n"
            for n in numbers
        )

    files = {"train.jsonl": rows(range(15)), "test.jsonl": rows(range(20, 23))}
    return a_folder(tmp_path_factory.mktemp("sayings"), files)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> "Iterator[HubStub]":
    """A hub, and a machine without a login."""
    import huggingface_hub.constants

    from finetune_trainer.publication.hub import client
    from trainer.hub_stub import serve

    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0, 0.0))
    # The hub's newer protocol needs a separate service; git-lfs is the older one.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/nonexistent/token")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serve() as stub:
        yield stub


@pytest.fixture
def online(hub: "HubStub", monkeypatch: pytest.MonkeyPatch) -> "HubStub":
    """The hub, in a pod's environment."""
    from trainer.hub_stub import TOKEN

    for name, value in {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)
    return hub


@pytest.fixture(scope="module")
def ranks() -> Iterator[TwoRanks]:
    two = TwoRanks()
    yield two
    two.close()


@pytest.fixture
def lab(ranks: TwoRanks, tmp_path: Path, tiny_model: Path, dialogues: Path) -> Lab:
    return Lab(ranks, tmp_path, tiny_model, dialogues)
