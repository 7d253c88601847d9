# SPDX-License-Identifier: Apache-2.0
"""The category of an exception."""

import errno
import pickle

import pytest

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage, attempt_failed, interruption


def an_error(name: str, text: str = "", base: type[Exception] = Exception) -> Exception:
    """An exception of a library's class, without the library."""
    kind: type[Exception] = type(name, (base,), {})
    return kind(text)


DATASETS_ERROR = type(an_error("DatasetsError"))
"""The class of all errors that `datasets` itself raises."""

CASES = [
    (an_error("OutOfMemoryError", "CUDA out of memory", RuntimeError), Stage.MODEL,
     Category.OUT_OF_MEMORY, "OutOfMemory"),
    (MemoryError(), Stage.DATA, Category.INFRASTRUCTURE, "HostOutOfMemory"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), Stage.MODEL,
     Category.INFRASTRUCTURE, "HostOutOfMemory"),
    (OSError(errno.ENOSPC, "No space left on device"), Stage.FETCHING,
     Category.INFRASTRUCTURE, "DiskFull"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), Stage.SAVING,
     Category.INFRASTRUCTURE, "DiskFull"),
    (PermissionError(errno.EACCES, "Permission denied", "/data"), Stage.FETCHING,
     Category.USER, "AccessDenied"),
    (an_error("ConnectError", "no route", OSError), Stage.MODEL,
     Category.INFRASTRUCTURE, "HubUnreachable"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), Stage.TRAINING,
     Category.INFRASTRUCTURE, "HubUnreachable"),
    (OSError("We couldn't connect to the hub to load the files"), Stage.MODEL,
     Category.INFRASTRUCTURE, "HubUnreachable"),
    (an_error("GatedRepoError", "access is restricted", OSError), Stage.MODEL,
     Category.USER, "HubAccessDenied"),
    (an_error("RevisionNotFoundError", "no such branch", OSError), Stage.MODEL,
     Category.USER, "RevisionNotFound"),
    (ValueError("--eval_steps required"), Stage.CONFIG, Category.USER, "InvalidConfig"),
    (SystemExit(2), Stage.CONFIG, Category.USER, "InvalidConfig"),
    (FileNotFoundError("no data files"), Stage.DATA, Category.USER, "DatasetNotFound"),
    (an_error("DatasetGenerationError", "bad row", DATASETS_ERROR), Stage.DATA,
     Category.USER, "InvalidDataset"),
    (EOFError("Compressed file ended early"), Stage.DATA, Category.USER, "InvalidDataset"),
    (RuntimeError("Dataset scripts are no longer supported, but found data.py"),
     Stage.DATA, Category.USER, "InvalidDataset"),
    (AttributeError("'str' object has no attribute 'get'"), Stage.DATA,
     Category.INTERNAL, "Internal"),
    (RuntimeError("a subprocess has died"), Stage.DATA, Category.INTERNAL, "Internal"),
    (an_error("ArrowInvalid", "JSON parse error", ValueError), Stage.TRAINING,
     Category.USER, "InvalidDataset"),
    (OSError("folder does not appear to have a file named config.json"), Stage.MODEL,
     Category.USER, "ModelNotFound"),
    (an_error("SafetensorError", "header too small"), Stage.MODEL, Category.USER, "ModelDamaged"),
    (ImportError("FlashAttention2 has been toggled on, but it cannot be used due to the following "
                 "error: the package for FlashAttention2 doesn't seem to be installed."),
     Stage.MODEL, Category.USER, "InvalidConfig"),
    (KeyError("messages"), Stage.MODEL, Category.USER, "InvalidConfig"),
    (an_error("TemplateSyntaxError", "unexpected }", an_error("TemplateError").__class__),
     Stage.MODEL, Category.USER, "InvalidConfig"),
    (ValueError("a shape is wrong"), Stage.TRAINING, Category.INTERNAL, "Internal"),
    (RuntimeError("assertion of ours"), Stage.MODEL, Category.INTERNAL, "Internal"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "stage", "category", "reason"),
    [pytest.param(*case, id=f"{type(case[0]).__name__} while {case[1]}") for case in CASES],
)
def test_each_error_has_its_category_and_reason(
    error: Exception, stage: Stage, category: Category, reason: str
) -> None:
    failure = classify(error, stage)

    assert (failure.category, failure.reason) == (category, reason)
    assert failure.remedy


def test_a_cause_is_classified_like_its_wrapper() -> None:
    wrapped = RuntimeError("could not load")
    wrapped.__cause__ = an_error("LocalEntryNotFoundError", "offline", OSError)

    assert classify(wrapped, Stage.DATA).reason == "HubUnreachable"


@pytest.mark.parametrize(
    ("cause", "category"),
    [
        pytest.param(ValueError("not a number"), Category.USER, id="what data can cause"),
        pytest.param(NameError("name 'row'"), Category.INTERNAL, id="what only code can"),
    ],
)
def test_a_failed_dataset_generation_is_classified_by_its_cause(
    cause: Exception, category: Category
) -> None:
    wrapped = an_error("DatasetGenerationError", "", DATASETS_ERROR)
    wrapped.__cause__ = cause

    assert classify(wrapped, Stage.DATA).category is category


def test_a_classified_failure_is_kept() -> None:
    error = attempt_failed(Reason.SPLIT_NOT_FOUND, "there is no split", "choose another")

    assert classify(error, Stage.TRAINING) == error.failure


def test_a_classified_failure_is_kept_when_a_library_wraps_it() -> None:
    error = attempt_failed(Reason.SPLIT_NOT_FOUND, "there is no split", "choose another")
    wrapped = RuntimeError("an error occurred while generating the dataset")
    wrapped.__cause__ = error

    assert classify(wrapped, Stage.DATA) == error.failure


def test_a_failure_survives_pickling() -> None:
    error = attempt_failed(Reason.SPLIT_NOT_FOUND, "there is no split", "choose another")

    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert isinstance(arrived, AttemptFailed)
    assert arrived.failure == error.failure
    assert str(arrived) == "there is no split"


def test_a_suppressed_exception_is_not_the_cause() -> None:
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("another matter") from None
    except ValueError as error:
        reason = classify(error, Stage.CONFIG).reason

    assert reason == "InvalidConfig"


def test_a_message_is_one_sentence_with_the_stage() -> None:
    failure = classify(KeyError("messages"), Stage.MODEL)

    assert failure.message == "while preparing model and data: there is no 'messages'"


def test_an_interruption_reports_what_was_saved() -> None:
    assert "the checkpoint of step 8 is complete" in interruption(8, 8).message
    assert "no checkpoint" in interruption(3, 0).message


def raised_in(module: str, error: Exception) -> Exception:
    """The error, with a traceback as if this module had raised it."""
    try:
        exec("raise error", {"__name__": module, "error": error})  # noqa: S102 - a line of ours
    except Exception as raised:  # noqa: BLE001 - whatever it is
        return raised
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (4) must match the size of tensor b (5)"),
        AttributeError("'NoneType' object has no attribute 'shape'"),
        IndexError("index out of range in self"),
        AssertionError("hidden size"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "module", ["transformers.models.llama", "torch.nn.modules", "modeling_own"]
)
@pytest.mark.parametrize("stage", [Stage.MODEL, Stage.FIRST_STEP], ids=lambda stage: stage.name)
def test_a_library_error_before_the_first_step_is_a_user_error_by_default(
    error: Exception, module: str, stage: Stage
) -> None:
    failure = classify(raised_in(module, error), stage)

    assert (failure.category, failure.reason) == (Category.USER, "InvalidConfig")
    assert str(error) in failure.message
    assert failure.remedy


@pytest.mark.parametrize(
    ("error", "module", "stage", "category"),
    [
        pytest.param(
            RuntimeError("a shape"), "finetune_trainer.ranks.x", Stage.FIRST_STEP,
            Category.INTERNAL, id="our own code",
        ),
        pytest.param(
            RuntimeError("a shape"), "transformers.trainer", Stage.TRAINING,
            Category.INTERNAL, id="a step was taken",
        ),
        pytest.param(
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "torch.nn",
            Stage.FIRST_STEP, Category.OUT_OF_MEMORY, id="too little memory, for the ladder",
        ),
        pytest.param(
            OSError(errno.EIO, "Input/output error"), "datasets.arrow_dataset",
            Stage.FIRST_STEP, Category.INTERNAL, id="a file that cannot be read for once",
        ),
        pytest.param(
            RuntimeError("uncorrectable ECC error"), "torch.nn", Stage.FIRST_STEP,
            Category.INFRASTRUCTURE, id="a broken GPU",
        ),
    ],
)  # fmt: skip
def test_an_error_of_another_origin_is_not_a_user_error(
    error: Exception, module: str, stage: Stage, category: Category
) -> None:
    assert classify(raised_in(module, error), stage).category is category
