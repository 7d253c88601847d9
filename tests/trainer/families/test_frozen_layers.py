# SPDX-License-Identifier: Apache-2.0
"""`num_layers_unfrozen` in every architecture: the input of the last layers does not change, or the
architecture is refused with a message.
"""

import pytest

from finetune_spec.base_model.packed_rows import PackedRows, rows_of
from trainer.families.frozen_layers import Frozen, measure
from trainer.families.test_packed_rows import TYPES

pytestmark = pytest.mark.slow  # Importing torch takes a quarter of a minute.

FEW = {
    "llama": Frozen.KEPT,
    "falcon": Frozen.KEPT,
    "mamba": Frozen.KEPT,
    "gemma3n_text": Frozen.KEPT,
    "gemma4_text": Frozen.KEPT,
    "bert": Frozen.REFUSED,
    "xlm": Frozen.REFUSED,
}
BUILT = [each for each in TYPES if rows_of(each) is not PackedRows.UNMEASURED]


@pytest.mark.parametrize("model_type", FEW)
def test_what_goes_into_the_last_layer_stays_as_it_was(model_type: str) -> None:
    assert measure(model_type) is FEW[model_type]


@pytest.mark.long
@pytest.mark.parametrize("model_type", [each for each in BUILT if each not in FEW])
def test_every_architecture_keeps_its_first_layers_or_is_refused(model_type: str) -> None:
    assert measure(model_type) in (Frozen.KEPT, Frozen.REFUSED)
