from __future__ import annotations

from pathlib import Path

from brainad.files import write_json
from brainad.pipeline.trained import fold_folder, trained_folds


def test_only_finished_models_are_found(tmp_path: Path) -> None:
    assert trained_folds(tmp_path) == {}
    for configuration, fold in (("anyad", "1"), ("anyad", "0"), ("rasalore", "all")):
        write_json(fold_folder(tmp_path, configuration, fold) / "model_card.json", {})
    fold_folder(tmp_path, "rasalore", "0").mkdir()
    assert trained_folds(tmp_path) == {"anyad": ["0", "1"], "rasalore": ["all"]}
    name = fold_folder(tmp_path, "anyad", "0").relative_to(tmp_path)
    assert name == Path("brainadTrainer__brainadPlans__anyad") / "fold_0"
