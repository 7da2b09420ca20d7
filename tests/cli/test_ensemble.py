from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from brainad.cli.ensemble import main
from brainad.files import read_csv, read_json
from brainad.inference.outputs import OutputFolder

Command = Callable[..., tuple[int, str, str]]


def test_a_prediction_averaged_with_itself_stays_as_it_is(
    command: Command, phantom_predictions: Path, tmp_path: Path
) -> None:
    target = tmp_path / "both"
    both = (phantom_predictions, phantom_predictions)
    code, shown, _ = command(main, "-i", *both, "-o", target, "-weights", 1, 3)
    assert code == 0
    record = read_json(target / "ensemble.json")
    assert [member["weight"] for member in record["members"]] == [0.25, 0.75]
    columns = ("case_id", "score", "prediction", "anomalous_volume_mm3")
    for one, other in zip(
        read_csv(phantom_predictions / "patient_scores.csv", columns),
        read_csv(target / "patient_scores.csv", columns),
        strict=True,
    ):
        assert {name: one[name] for name in columns} == {name: other[name] for name in columns}
        assert one["case_id"] in shown
        before, after = OutputFolder(phantom_predictions), OutputFolder(target)
        for path in (before.mask_path, after.mask_path):
            assert path(one["case_id"]).is_file()


def test_small_components_are_dropped(
    command: Command, phantom_predictions: Path, tmp_path: Path
) -> None:
    both = (phantom_predictions, phantom_predictions)
    command(main, "-i", *both, "-o", tmp_path / "none", "-min_size_mm3", 1e9)
    rows = read_csv(tmp_path / "none" / "patient_scores.csv", ("anomalous_volume_mm3",))
    assert {row["anomalous_volume_mm3"] for row in rows} == {"0"}


def test_one_folder_is_no_ensemble(
    command: Command, phantom_predictions: Path, tmp_path: Path
) -> None:
    code, _, said = command(main, "-i", phantom_predictions, "-o", tmp_path / "out")
    assert code == 2
    assert "an ensemble needs two or more" in said
