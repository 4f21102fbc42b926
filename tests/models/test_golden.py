"""The shipped models give what they gave when they were chosen: laws hold for wrong networks too.

New weights: ``python tests/golden.py``.
"""

import json

import numpy as np
import pytest
from golden import FOLDER, SHIPPED, nll, recorded, sample

STATED = json.loads((FOLDER / "nll.json").read_text())


def test_each_shipped_model_is_recorded():
    assert sorted(STATED) == SHIPPED
    assert sorted(path.stem for path in FOLDER.glob("*.npy")) == SHIPPED


@pytest.mark.parametrize("model", SHIPPED)
def test_the_nll_of_fixed_photos(model):
    assert nll(model) == pytest.approx(STATED[model], abs=0.01)


@pytest.mark.parametrize("model", SHIPPED)
def test_a_sample(model):
    expected = recorded(model)
    # It is stored in half precision, and other processors round otherwise.
    np.testing.assert_allclose(sample(model), expected, rtol=0, atol=2e-3 * np.abs(expected).max())
