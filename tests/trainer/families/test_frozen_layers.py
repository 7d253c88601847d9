# SPDX-License-Identifier: Apache-2.0
"""`num_layers_unfrozen` in every architecture: the last layers are trained and their input does not
change, or the architecture is refused with a message.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trainer.families.frozen_layers import Frozen, measure
from trainer.families.packed_rows import NotBuilt
from trainer.families.test_packed_rows import TYPES
from trainer.families.tuned import UNMEASURED, read_table

pytestmark = pytest.mark.slow  # Importing torch takes a quarter of a minute.

FEW = {
    "llama": Frozen.EXACT,
    "falcon": Frozen.EXACT,
    "mamba": Frozen.EXACT,
    "gemma3n_text": Frozen.EXACT,
    "gemma4_text": Frozen.EXACT,
    "llama4_text": Frozen.EXACT,
    "bert": Frozen.WITHOUT_NORM,
    "xlm": Frozen.REFUSED,
}
TABLE = read_table()
SMALL_BYTES = 2 * 1024**3
BUILT = [each for each in TYPES if TABLE[each].frozen != UNMEASURED]


@pytest.mark.parametrize("model_type", FEW)
def test_the_last_layer_is_trained_and_what_goes_into_it_stays_as_it_was(model_type: str) -> None:
    assert measure(model_type) is FEW[model_type]
    assert TABLE[model_type].frozen == FEW[model_type]


@pytest.mark.long
@pytest.mark.parametrize("model_type", [each for each in BUILT if each not in FEW])
def test_every_architecture_freezes_its_first_layers_or_is_refused(model_type: str) -> None:
    found = measure(model_type)

    assert found in (Frozen.EXACT, Frozen.WITHOUT_NORM, Frozen.REFUSED)
    assert TABLE[model_type].frozen == found


@pytest.mark.long
@pytest.mark.parametrize("model_type", [each for each in TYPES if each not in BUILT])
def test_what_the_table_says_of_others_is_that_they_cannot_be_built(model_type: str) -> None:
    import torch  # noqa: F401 - it maps gigabytes itself

    with pytest.raises(NotBuilt), at_most(SMALL_BYTES):
        measure(model_type)
    assert TABLE[model_type].frozen == UNMEASURED


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """This process cannot map more than this much in addition: a large architecture fails, however
    much memory the machine has.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
