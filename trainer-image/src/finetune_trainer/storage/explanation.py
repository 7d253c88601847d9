# SPDX-License-Identifier: Apache-2.0
"""Translates an error of the store's client into an error of the trainer.

Every error that leaves here is an `AttemptFailed`, or one that may be temporary. The client's
panics are no `Exception`: Rust code panics at a value that it cannot send.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.storage import credentials
from finetune_trainer.storage.bucket_region import find_region
from finetune_trainer.storage.refusals import REGION, Refusal, refusal_of
from finetune_trainer.storage.store import StoreNotReady
from finetune_trainer.storage.store_answers import StoreAnswer, read_answer


@dataclass(frozen=True, slots=True)
class Explanation:
    """The facts about the store."""

    bucket_uri: str
    environment: Mapping[str, str]
    gives_up_seconds: int
    """For how long the client retries temporary errors."""

    def error_for(self, error: BaseException, place: str) -> Exception:
        """The error to raise instead of an error of the client about this location."""
        if is_panic(error):
            return self._panic(error, place)
        answer = read_answer(str(error))
        refusal = refusal_of(answer)
        if refusal is None:
            if not answer.was_retried:
                return ConnectionError(f"{place}: {answer.words}")
            return attempt_failed(
                Reason.STORE_UNREACHABLE,
                f"{place}: the object store did not respond for {self.gives_up_seconds} s: "
                f"{answer.words}",
                "check the endpoint and that the store is up",
            )
        if refusal is REGION:
            return self._wrong_region(answer, place)
        failure = refusal.reason.failure(
            self._sentence(refusal, answer, place), refusal.remedy, category=refusal.category
        )
        if refusal.may_pass and not answer.was_retried:
            return StoreNotReady(failure)
        return attempt_failed(refusal.reason, failure.message, failure.remedy, refusal.category)

    def bucket_missing(self) -> Exception:
        return attempt_failed(
            Reason.BUCKET_NOT_FOUND,
            f"there is no bucket {self.bucket_uri}",
            "create it, or name an existing bucket; the trainer does not create buckets",
        )

    def _sentence(self, refusal: Refusal, answer: StoreAnswer, place: str) -> str:
        if refusal.reason is Reason.BUCKET_NOT_FOUND:
            return f"there is no bucket {self.bucket_uri}"
        code = f"{answer.code}: " if answer.code and answer.code not in answer.words else ""
        return f"{place}: {refusal.what}: {code}{answer.words}"

    def _wrong_region(self, answer: StoreAnswer, place: str) -> Exception:
        configured = credentials.region_of(self.environment)
        right = answer.region or find_region(
            credentials.endpoint_of("s3", self.environment)
            or f"https://s3.{configured}.amazonaws.com",
            self.bucket_uri.rpartition("/")[2],
        )
        where = f"is in region {right}" if right else "is in another region"
        return attempt_failed(
            Reason.WRONG_REGION,
            f"{place}: {self.bucket_uri} {where}, but the request was made for {configured}: "
            f"{answer.words}",
            f"set AWS_REGION to {right} in the Secret" if right else REGION.remedy,
        )

    def _panic(self, error: BaseException, place: str) -> Exception:
        words = " ".join(str(error).split())[:300]
        if "InvalidHeaderValue" in words or "InvalidUri" in words:
            return attempt_failed(
                Reason.INVALID_CREDENTIALS,
                f"{place}: a key, region or endpoint contains characters that cannot be sent: "
                f"{words}",
                "check the values of the Secret for newlines, spaces and missing schemes",
            )
        return attempt_failed(
            Reason.INTERNAL,
            f"{place}: the object store's client failed: {words}",
            "report it; the trainer's log has the client's own message",
        )


def is_panic(error: BaseException) -> bool:
    """Whether Rust code panicked. The class cannot be imported: each library has its own."""
    return type(error).__name__ == "PanicException"
