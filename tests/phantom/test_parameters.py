from __future__ import annotations

import dataclasses
import pickle

from brainad.phantom.acquisition import Scan
from brainad.phantom.anatomy import Pose
from brainad.phantom.options import PhantomOptions
from brainad.phantom.parameters import sample_parameters


def test_same_seed_same_choices() -> None:
    options = PhantomOptions(lesion="metastases", random_orientation=True)
    assert sample_parameters(options, 3) == sample_parameters(options, 3)
    assert sample_parameters(options, 3) != sample_parameters(options, 4)


def test_one_choice_never_shifts_another() -> None:
    plain = sample_parameters(PhantomOptions(lesion="glioma"), 5)
    rich = sample_parameters(
        PhantomOptions(
            channels=("FLAIR", "T1"), lesion="glioma", random_orientation=True, spacing_mm=(1, 1, 4)
        ),
        5,
    )
    assert rich.pose == plain.pose
    assert rich.lesions == plain.lesions
    assert rich.appearances["T1"] == plain.appearances["T1"]
    assert list(rich.appearances) == ["FLAIR", "T1"]


def test_choices_can_be_logged_and_sent_to_another_process() -> None:
    parameters = sample_parameters(PhantomOptions(lesion="stroke"), 7)
    assert dataclasses.asdict(parameters)["lesions"][0]["layers"][0]["tissue"] == "infarct"
    assert pickle.loads(pickle.dumps(parameters)) == parameters  # noqa: S301


def test_random_pose_can_be_left_out() -> None:
    still = sample_parameters(PhantomOptions(random_pose=False), 6)
    assert still.pose == Pose() and still.scan == Scan()
    assert sample_parameters(PhantomOptions(), 6).pose != Pose()
