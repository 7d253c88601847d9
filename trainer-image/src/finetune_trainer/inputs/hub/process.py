# SPDX-License-Identifier: Apache-2.0
"""Downloads one model of the hub; prints its progress as a JSON line each second, and its result.

python3 -m finetune_trainer.inputs.hub.process NAME REVISION WITH_WEIGHTS

It is a separate process because the hub's client reads its environment at import, and a config may
set parts of that; and because it can be killed at any time.
"""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_download, try_to_load_from_cache

from finetune_contract.codec import document_of
from finetune_contract.documents import InvalidDocument, parse_object
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.failures.log_lines import set_up_log
from finetune_trainer.failures.redaction import hide_in_output
from finetune_trainer.failures.stopping import end_process
from finetune_trainer.inputs.hub import choice
from finetune_trainer.inputs.hub.download import Commit, Download, retrying
from finetune_trainer.inputs.hub.untrusted import check_all_answers, require_plain

log = logging.getLogger(__name__)

TELL_SECONDS = 1.0
CHUNK_BYTES = 256 * 1024
"""The part of a file that may be lost when this process is killed; the client's own chunks are 10
MiB.
"""


def main(name: str, revision: str, *, with_weights: bool) -> dict[str, Any]:
    """The final message to the supervisor."""
    download = Download()
    _tell_every_second(download)
    try:
        return {"folder": str(_fetch(name, revision, download, with_weights=with_weights))}
    except Exception as error:  # noqa: BLE001 - every error is reported to the supervisor
        failure = classify(error, Stage.FETCHING)
        if _is_cached(name, revision):
            log.warning("not fetched model=%s because=%s: the cache has it", name, failure.message)
            return {"folder": None}
        return {"failure": document_of(failure)}


def _fetch(name: str, revision: str, download: Download, *, with_weights: bool) -> Path:
    def ask() -> ModelInfo:
        return HfApi().model_info(name, revision=revision)

    # A cached model needs no retries.
    found = ask() if _is_cached(name, revision) else retrying(ask)
    names = [each.rfilename for each in found.siblings or ()]
    commit = require_plain("a commit", found.sha)
    snapshot = Commit(repository=name, commit=commit, download=download)
    descriptions = choice.description_files(names)
    snapshot.fetch(descriptions)
    if with_weights:
        indexes = {index: _json(snapshot.folder / index) for index in choice.index_files(names)}
        snapshot.fetch(choice.weight_files(names, indexes))
    if descriptions and revision != found.sha:
        # This records the branch's commit in the cache, which is then found without the hub.
        hf_hub_download(name, descriptions[0], revision=revision)
    return snapshot.folder


def _json(file: Path) -> dict[str, Any]:
    try:
        return parse_object(file.read_bytes(), file.name)
    except (OSError, InvalidDocument):
        return {}  # transformers will report the error.


def _is_cached(name: str, revision: str) -> bool:
    kept = ("config.json", choice.ADAPTER, "tokenizer_config.json")
    return any(
        isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in kept
    )


def _tell_every_second(download: Download) -> None:
    def tell() -> None:
        while True:
            time.sleep(TELL_SECONDS)
            _say({"done": download.done, "total": download.total})

    threading.Thread(target=tell, name="telling", daemon=True).start()


def _say(message: dict[str, Any]) -> None:
    try:
        sys.stdout.write(f"{json.dumps(message)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)  # The supervisor has ended.


if __name__ == "__main__":
    hide_in_output(os.environ)
    set_up_log(logging.INFO, "%(asctime)s %(levelname)s %(message)s")
    # File URLs are signed, and there is one per file; errors are reported by us.
    for library in ("httpx", "httpx2", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    check_all_answers()
    _say(main(sys.argv[1], sys.argv[2], with_weights=sys.argv[3] == "with-weights"))
    # Not the interpreter's own exit: it would wait for abandoned files.
    end_process(0)
