# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, who is to blame for it, and what to do about it. No I/O, no torch here.

    AttemptFailed   the attempt cannot succeed; carries the failure that the outcome will tell
    Interrupted     somebody stopped the attempt (SIGTERM)

Anything else that is raised is unforeseen: `classify` gives it a blame by what it is and by the
stage in which it was raised.
"""

from collections.abc import Iterator
from enum import StrEnum

from finetune_contract.outcome import PEER_LOST, Blame, Failure

INTERRUPTED = "Interrupted"


class AttemptFailed(Exception):
    """The attempt cannot succeed, for a reason that is known."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Interrupted(Exception):
    """Somebody asked the attempt to stop."""


class Stage(StrEnum):
    """What a rank is doing; it decides whose mistake an exception is."""

    CONFIG = "reading the config"
    DATA = "loading the data set"
    MODEL = "preparing model and data"
    TRAINING = "training"
    SAVING = "saving"
    VERIFYING = "verifying"


def user_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """The job, its data or its credentials must be changed."""
    return AttemptFailed(Failure(blame=Blame.USER, reason=reason, message=message, remedy=remedy))


def infrastructure_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """Store, network or node: another attempt may well succeed."""
    return AttemptFailed(
        Failure(blame=Blame.INFRASTRUCTURE, reason=reason, message=message, remedy=remedy)
    )


def internal_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """Something that should not have happened; most likely a mistake of ours."""
    return AttemptFailed(
        Failure(blame=Blame.INTERNAL, reason=reason, message=message, remedy=remedy)
    )


def interruption(step: int, checkpoint_step: int) -> Failure:
    """The attempt was stopped; what it had learned is in the checkpoint, if there is one."""
    saved = (
        f"the checkpoint of step {checkpoint_step} is complete"
        if checkpoint_step
        else "no checkpoint had been taken yet"
    )
    return Failure(
        blame=Blame.INTERRUPTION,
        reason=INTERRUPTED,
        message=f"stopped at step {step}; {saved}",
        remedy="nothing to do: the next attempt goes on from there" if checkpoint_step else "",
    )


def classify(error: BaseException, stage: Stage) -> Failure:
    """Whose mistake an exception in a rank is.

    Precedence: a failure that says so itself; memory; a lost peer; the network; then, before
    training began, what the libraries object to is the user's config, model or data.
    """
    if isinstance(error, AttemptFailed):
        return error.failure
    chain = list(_chain(error))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    text = " ".join(str(link) for link in chain)
    message = f"while {stage.value}: {_sentence(error)}"

    if "OutOfMemoryError" in names or "CUDA out of memory" in text:
        return _out_of_memory(message)
    if names & _PEER_ERRORS or any(trace in text for trace in _PEER_TRACES):
        return _peer_lost(stage)
    if names & _NETWORK_ERRORS or any(trace in text for trace in _NETWORK_TRACES):
        return _hub_unreachable(message)
    if "GatedRepoError" in names or "RepositoryNotFoundError" in names:
        return _not_on_the_hub(message)
    if stage is Stage.CONFIG:
        return _user(
            "InvalidConfig", message, "correct the config: the message quotes TRL's objection"
        )
    if stage is Stage.DATA:
        return _data_failure(error, names, message)
    if stage is Stage.MODEL and (found := _preparation_failure(error, names, message)) is not None:
        return found
    return Failure(
        blame=Blame.INTERNAL,
        reason="Internal",
        message=message,
        remedy="look for the traceback in the trainer's log; if it is not your code, report it",
    )


_PEER_ERRORS = {"DistBackendError", "DistNetworkError", "DistStoreError"}
_PEER_TRACES = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "[c10d]",
    "gloo/transport",
    "NCCL error",
)
_NETWORK_ERRORS = {
    "ConnectionError",
    "ConnectError",
    "ConnectTimeout",
    "ReadTimeout",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
}
_NETWORK_TRACES = ("We couldn't connect to", "Couldn't reach", "is not cached")
_OBJECTIONS = {
    "ValueError",
    "TypeError",
    "KeyError",
    "ImportError",
    "NotImplementedError",
    "TemplateError",
    "DatasetsError",
    "ArrowInvalid",
}
"""How TRL, transformers, datasets, PEFT and jinja2 tell that they cannot do what they were told."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _sentence(error: BaseException) -> str:
    """The error in one line, with the cause that it wraps."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        # Its text alone would be a bare word.
        return f"there is no {text}"
    if error.__cause__ is not None and (cause := _sentence(error.__cause__)) not in text:
        return f"{text}: {cause}"
    return text or type(error).__name__


def _user(reason: str, message: str, remedy: str) -> Failure:
    return Failure(blame=Blame.USER, reason=reason, message=message, remedy=remedy)


def _out_of_memory(message: str) -> Failure:
    return Failure(
        blame=Blame.OUT_OF_MEMORY,
        reason="OutOfMemory",
        message=message,
        remedy="lower per_device_train_batch_size or max_length, or ask for a larger GPU",
    )


def _peer_lost(stage: Stage) -> Failure:
    # What gloo and NCCL say about it is of use to nobody but their makers; it is in the log.
    return Failure(
        blame=Blame.INFRASTRUCTURE,
        reason=PEER_LOST,
        message=f"while {stage.value}: the connection to another rank was lost",
        remedy="look at the other nodes' outcomes: one of them failed first",
    )


def _hub_unreachable(message: str) -> Failure:
    return Failure(
        blame=Blame.INFRASTRUCTURE,
        reason="HubUnreachable",
        message=message,
        remedy="let the pods reach the hub, or name the model and data by s3://, gs:// or az://",
    )


def _not_on_the_hub(message: str) -> Failure:
    return _user(
        "HubAccessDenied",
        message,
        "check the name on the hub, and give HF_TOKEN if the repository is gated or private",
    )


def _data_failure(error: BaseException, names: set[str], message: str) -> Failure:
    if "DatasetNotFoundError" in names or isinstance(error, FileNotFoundError):
        return _user("DatasetNotFound", message, "check dataset_name, and that it holds data files")
    return _user(
        "InvalidDataset", message, "the data set cannot be read as it is: correct its files"
    )


def _preparation_failure(error: BaseException, names: set[str], message: str) -> Failure | None:
    if isinstance(error, OSError):
        return _user(
            "ModelNotFound", message, "check model_name_or_path: it must hold a whole model"
        )
    if names & _OBJECTIONS:
        return _user(
            "InvalidConfig", message, "change the config or the data: one does not fit the other"
        )
    return None
