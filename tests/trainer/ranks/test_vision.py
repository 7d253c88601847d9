# SPDX-License-Identifier: Apache-2.0
"""Rows with images train a vision model: a tiny Llava with random weights, built without a network.

Its processor is real: it resizes real pixels and adds as many image tokens to the text as the
vision tower returns.
"""

from pathlib import Path
from typing import Any

import pytest

from trainer.cards import Copy, apart
from trainer.in_process import Trained, train
from trainer.ranks.data.test_data_shapes import arguments, lines
from trainer.tiny_models import a_seeing_model

pytestmark = pytest.mark.slow  # importing datasets and torch

SAID = {
    "messages": [
        {"role": "user", "content": "What colour is it?"},
        {"role": "assistant", "content": "Red."},
    ]
}
PROMPTED = {"prompt": SAID["messages"][:1], "completion": SAID["messages"][1:]}


@pytest.fixture(scope="module")
def seeing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_seeing_model(tmp_path_factory.mktemp("seeing"))


def with_embedded_images(place: Path, row: dict[str, Any], *, many: bool = False) -> Path:
    """A Parquet file that contains its images, like datasets of the hub."""
    from datasets import Dataset, Features, Image, List

    image = {"path": None, "bytes": a_picture(place).read_bytes()}
    rows = Dataset.from_list([{**row, **({"images": [image]} if many else {"image": image})}] * 4)
    kind = {"images": List(Image())} if many else {"image": Image()}
    rows = rows.cast(Features({**rows.features, **kind}))
    rows.to_parquet(place / "train.parquet")
    return place / "train.parquet"


def a_picture(place: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(place / "red.png")
    return place / "red.png"


def train_on(place: Path, model: Path, data: Path, **config: Any) -> Trained:
    # PEFT has no default layers for Llava.
    layers = {"lora_target_modules": ["q_proj", "v_proj"]}
    return train(place, model, data, **{"max_steps": 1, **layers, **config})


@pytest.mark.parametrize(
    ("row", "many"),
    [
        pytest.param(SAID, False, id="messages and an image"),
        pytest.param(PROMPTED, True, id="prompt and completion and a list of images"),
    ],
)
def test_images_embedded_in_the_data_are_trained_on(
    row: dict[str, Any], many: bool, tmp_path: Path, seeing_model: Path
) -> None:
    data = with_embedded_images(tmp_path, row, many=many)

    done = train_on(tmp_path, seeing_model, data)

    assert done.outcome.failure is None
    assert done.outcome.adapter_verified


def test_images_next_to_the_data_are_found_by_their_paths(
    tmp_path: Path, seeing_model: Path
) -> None:
    data = tmp_path / "data"
    (data / "photos").mkdir(parents=True)
    a_picture(data / "photos")
    (data / "train.jsonl").write_bytes(lines(*[{**SAID, "image": "photos/red.png"}] * 4))

    done = train_on(tmp_path, seeing_model, data)

    assert done.outcome.failure is None


def test_converted_rows_keep_their_images(tmp_path: Path, seeing_model: Path) -> None:
    row = {"question": "What colour is it?", "answer": "Red."}
    data = with_embedded_images(tmp_path, row)

    done = train_on(
        tmp_path,
        seeing_model,
        data,
        dataset_format="question_answer",
        system_message="Be brief.",
    )

    assert done.outcome.failure is None


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data

    (tmp_path / "train.jsonl").write_bytes(lines({**SAID, "images": ["photos/red.png"]}))

    with pytest.raises(AttemptFailed, match=r"no image photos/red.png next to the data") as caught:
        prepare_data(arguments(tmp_path, tmp_path / "train.jsonl"))

    assert caught.value.failure.reason == "ImageNotFound"


def test_images_for_a_text_only_model_are_a_user_error(tmp_path: Path, tiny_model: Path) -> None:
    done = train_on(tmp_path, tiny_model, with_embedded_images(tmp_path, SAID))

    assert "the provided model does not seem to be a vision-language model" in done.words()
    assert done.outcome.failure is not None
    assert done.outcome.failure.category == "User"


def test_a_merged_vision_model_loads_alone_with_its_processor(
    tmp_path: Path, seeing_model: Path
) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    data = with_embedded_images(tmp_path, SAID)

    trained = train_on(tmp_path, seeing_model, data, merge_adapter=True)

    assert trained.outcome.failure is None, trained.outcome
    merged = trained.published / "model"
    assert AutoProcessor.from_pretrained(merged).image_processor is not None
    model = AutoModelForImageTextToText.from_pretrained(merged)
    assert type(model).__name__ == "LlavaForConditionalGeneration"


def test_the_code_in_the_cards_of_a_vision_model_loads_it(
    tmp_path: Path, seeing_model: Path
) -> None:
    data = with_embedded_images(tmp_path, SAID)
    trained = train_on(tmp_path, seeing_model, data, merge_adapter=True)
    assert trained.outcome.failure is None, trained.outcome
    copy = Copy(tmp_path / "user").download(trained.published)

    found = copy.run(copy.cards())

    assert set(found) == {"adapter", "model"}
    assert apart(found["adapter"], found["model"]) < 1e-4


@pytest.mark.parametrize("many", [False, True], ids=["an image", "a list of images"])
def test_null_in_place_of_an_image_means_no_image(
    many: bool, tmp_path: Path, seeing_model: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    a_picture(data)
    seen = {**SAID, **({"images": ["red.png"]} if many else {"image": "red.png"})}
    unseen = {**SAID, **({"images": None} if many else {"image": None})}
    (data / "train.jsonl").write_bytes(lines(seen, unseen, seen, unseen))

    done = train_on(tmp_path, seeing_model, data, per_device_train_batch_size=4)

    assert done.outcome.failure is None, done.words()
    assert done.outcome.step == 1
