"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainad.workspace import find_workspace

DATA = Path(__file__).parent / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def weights_folder() -> Path:
    """Where `brainad_download_weights` put the embedded encoder: fetched before the tests."""
    return find_workspace({}).weights


@pytest.fixture(scope="session")
def colin27_head() -> Path:
    return DATA / "colin27_t1_head.nii.gz"


@pytest.fixture(scope="session")
def colin27_brain() -> Path:
    return DATA / "colin27_t1_brain.nii.gz"
