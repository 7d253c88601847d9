# SPDX-License-Identifier: Apache-2.0
"""The data: its location, length of rows, packing and reading. No I/O here."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.reading import Context, Reading
from finetune_spec.config.problem import Problem, quoted


def check_packing(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer._prepare_dataset` raises: packs need a length."""
    if config["max_length"] is not None:
        return
    packing = config["packing"]
    if packing:
        yield Problem(
            path=config.name("packing"),
            message="found true together with max_length: null, expected the length of a pack "
            "there, e.g. 2048",
        )
    elif config["eval_packing"] and config.is_evaluated:
        yield Problem(
            path=config.name("eval_packing"),
            message="found true together with max_length: null, expected the length of a pack "
            "there, e.g. 2048",
        )


def check_padding_free(config: Reading, context: Context) -> Iterator[Problem]:
    """`SFTTrainer.__init__` raises; the default of `max_length` is 1024."""
    if config["padding_free"] and not config["packing"] and config["max_length"] is not None:
        yield Problem(
            path=config.name("padding_free"),
            message=f"found true together with max_length: {quoted(config['max_length'])}, which "
            "it cannot enforce: set packing to true, or max_length to null",
        )


def check_loss_mask(config: Reading, context: Context) -> Iterator[Problem]:
    """With `skip_prepare_dataset` TRL neither packs nor masks: it trains on the labels in the
    data.
    """
    if not config.mapping("dataset_kwargs").get("skip_prepare_dataset"):
        return
    for key in ("packing", "assistant_only_loss", "completion_only_loss"):
        if config[key]:
            yield Problem(
                path=config.name(key),
                message="found true together with dataset_kwargs.skip_prepare_dataset: true, which "
                "leaves the data unchanged: remove one of them",
            )


def check_streaming(config: Reading, context: Context) -> Iterator[Problem]:
    """`Trainer._validate_args` raises: the length of a stream is unknown."""
    key = streams_by(config)
    if key is not None and config.number("max_steps") <= 0:
        yield Problem(
            path=config.name(key),
            message="found true without max_steps: the length of a stream is unknown, so set how "
            "many steps to train",
        )


def streams_by(config: Reading) -> str | None:
    """The key that makes the data a stream: a dataset and a mixture have one each."""
    key = "streaming" if config["datasets"] else "dataset_streaming"
    return key if config[key] else None


def check_splits_of_mixture(config: Reading, context: Context) -> Iterator[Problem]:
    """`trl.get_dataset` returns the split `train`, and `test` only with `test_split_size`."""
    if not config["datasets"]:
        return
    has_test = config["test_split_size"] is not None
    splits = ("train", "test") if has_test else ("train",)
    if config["dataset_train_split"] not in splits:
        yield Problem(
            path=config.name("dataset_train_split"),
            message=f"found {quoted(config['dataset_train_split'])}, expected train: the splits of "
            "a mixture are set in each entry of datasets",
        )
    if not config.is_evaluated or config["dataset_test_split"] in splits:
        return
    if has_test:
        yield Problem(
            path=config.name("dataset_test_split"),
            message=f"found {quoted(config['dataset_test_split'])}, expected test: test_split_size "
            "creates that split",
        )
    else:
        yield Problem(
            path=config.name("eval_strategy"),
            message=f"found {quoted(config['eval_strategy'])} without data to evaluate on: set "
            "test_split_size, e.g. to 0.05, since a mixture has only the split train",
        )


def check_split_of_stream(config: Reading, context: Context) -> Iterator[Problem]:
    """A stream has no `train_test_split`, and `trl.get_dataset` raises for fractions of it."""
    key = streams_by(config)
    if key is None:
        return
    path = config.name(key)
    if config["test_split_size"] is not None:
        yield Problem(
            path=path,
            message="found true together with test_split_size, but a stream cannot be split",
        )
    if any(part.get("fraction") is not None for part in config.mixture):
        yield Problem(
            path=path, message="found true together with a fraction in datasets: remove one of them"
        )


def check_fractions(config: Reading, context: Context) -> Iterator[Problem]:
    """`trl.get_dataset` raises unless all parts have a fraction, or none."""
    parts = config.mixture
    with_fraction = [part.get("fraction") is not None for part in parts]
    if any(with_fraction) and not all(with_fraction):
        place = with_fraction.index(False)
        yield Problem(
            path=f"{config.name('datasets')}[{place}]",
            message="found no fraction, but other entries of datasets have one: set it for all, or "
            "none",
        )


def check_workers(config: Reading, context: Context) -> Iterator[Problem]:
    """`TrainingArguments` raises for the first, torch's `DataLoader` for the others."""
    if config.number("dataloader_num_workers"):
        return
    for key in (
        "dataloader_prefetch_factor",
        "dataloader_persistent_workers",
        "dataloader_multiprocessing_context",
    ):
        if config[key]:
            yield Problem(
                path=config.name(key),
                message=f"found {quoted(config[key])} without workers: set dataloader_num_workers, "
                "e.g. to 4",
            )


def check_context_length(config: Reading, context: Context) -> Iterator[Problem]:
    """Beyond its context a model answers noise, or has no embedding for the position."""
    overrides = config.mapping("model_init_kwargs")
    if context.model is None or _LENGTH_KEYS & overrides.keys() or config["max_length"] is None:
        return
    longest = _context_of(context.model)
    if longest is not None and config.number("max_length") > longest:
        yield Problem(
            path=config.name("max_length"),
            message=f"found {quoted(config['max_length'])}, expected at most {longest}, the "
            "context of the model",
        )


_LENGTH_KEYS = {"max_position_embeddings", "n_positions", "rope_scaling", "rope_parameters"}


def _context_of(model: Mapping[str, Any]) -> int | None:
    """The context length of the model; None if its config.json does not contain it."""
    text = model.get("text_config")
    inner = text if isinstance(text, Mapping) else model
    trained = inner.get("max_position_embeddings") or inner.get("n_positions")
    if not isinstance(trained, int):
        return None
    rope = inner.get("rope_scaling") or inner.get("rope_parameters")
    factor = rope.get("factor") if isinstance(rope, Mapping) else None
    if not isinstance(rope, Mapping) or not isinstance(factor, int | float):
        return trained
    # Some configs contain the extended length next to the factor, others the original length.
    original = rope.get("original_max_position_embeddings") or trained
    return max(trained, int(original * factor))


RULES = (
    check_packing,
    check_padding_free,
    check_loss_mask,
    check_streaming,
    check_splits_of_mixture,
    check_split_of_stream,
    check_fractions,
    check_workers,
    check_context_length,
)
