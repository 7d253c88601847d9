# SPDX-License-Identifier: Apache-2.0
"""The data set that a config names, and whether it can teach anything."""

from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, IterableDatasetDict, load_dataset
from trl import DatasetMixtureConfig, ScriptArguments, SFTConfig, get_dataset

from finetune_trainer.failures import user_error

COLUMNS = ("messages", "conversations", "conversation", "prompt", "input_ids")
"""One of these, or the text field, is in everything that TRL's SFT trains on."""

MASKED = -100
"""The label of a token that does not count for the loss."""


def load_data(
    script: ScriptArguments, mixture: DatasetMixtureConfig, training: SFTConfig
) -> DatasetDict | IterableDatasetDict:
    """The data set that the config names.

    Raises:
        AttemptFailed: it lacks files, splits, columns or rows; other errors are the libraries'.
    """
    dataset = get_dataset(mixture) if mixture.datasets else _load_single(script)
    needed = {"dataset_train_split": script.dataset_train_split}
    if training.eval_strategy != "no":
        needed["dataset_test_split"] = script.dataset_test_split
    for key, split in needed.items():
        if split not in dataset:
            raise user_error(
                "SplitNotFound",
                f"{key} is {split}, and the data set has only {', '.join(dataset)}",
                f"set {key} to one of them"
                + ("" if key == "dataset_train_split" else ", or eval_strategy to 'no'"),
            )
    _require_usable(dataset[script.dataset_train_split], training.dataset_text_field)
    return dataset


def _load_single(script: ScriptArguments) -> DatasetDict | IterableDatasetDict:
    try:
        return load_dataset(
            script.dataset_name, name=script.dataset_config, streaming=script.dataset_streaming
        )
    except FileNotFoundError:
        folder = Path(str(script.dataset_name))
        if not folder.is_dir():
            raise
        found = ", ".join(sorted(file.name for file in folder.iterdir())[:5]) or "nothing"
        raise user_error(
            "DatasetNotFound",
            f"the data set holds no data files: there is only {found}",
            "upload JSONL, Parquet or CSV files, e.g. train.jsonl and test.jsonl",
        ) from None


def _require_usable(train: Any, text_field: str) -> None:
    columns = train.column_names
    if columns and not {*COLUMNS, text_field} & set(columns):
        raise user_error(
            "DatasetColumnMissing",
            f"the data set has the columns {', '.join(columns)}; TRL trains on messages, on prompt "
            f"and completion, or on {text_field}",
            "rename the columns, or set dataset_text_field to the one that holds the text",
        )
    if isinstance(train, Dataset) and len(train) == 0:
        raise user_error("EmptyDataset", "the training split has no rows", "add training examples")


def require_tokens_that_count(train: Any) -> None:
    """Look at the data as TRL has prepared it, until one token is found that counts for the loss.

    TRL itself would train on masked rows, at loss 0, and report success.

    Raises:
        AttemptFailed: there is no such token.
    """
    if not isinstance(train, Dataset):
        return
    if len(train) > 0 and "labels" not in train.column_names:
        return
    if any(label != MASKED for row in train for label in row["labels"]):
        return
    raise user_error(
        "NothingTrained",
        "no token of the data counts for the loss: prompts fill max_length, or every answer is "
        "masked",
        "raise max_length; without assistant_only_loss and completion_only_loss every token counts",
    )
