"""Parts of a run in random order, merged, against one run: same maps, masks and tables.

python -m benchmarks.faults.shards [--cases 30] [--parts 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from benchmarks.faults.small_cohort import (
    RESOURCES,
    SmallCohort,
    delivered,
    predict,
    write_small_cohort,
)
from brainad.pipeline.bank import build_bank
from brainad.pipeline.cases import Share, unwatched
from brainad.pipeline.folder import FolderOptions, ModelChoice
from brainad.pipeline.parts import merge_parts
from brainad.pipeline.sources import model_from_folder


def compare_parts(cohort: SmallCohort, choose: ModelChoice, name: str, order: list[int]) -> int:
    """Predict in parts and as one, and return the number of files that were compared.

    Args:
        cohort: scans.
        choose: the model.
        name: of the output folders.
        order: in which the parts run; all of them.

    Raises:
        AssertionError: a byte differs, or the merge finds something missing.
    """
    whole, parts = cohort.home / f"{name}_whole", cohort.home / f"{name}_parts"
    predict(cohort, whole, choose=choose)
    for number in order:
        predict(cohort, parts, Share(len(order), number), choose=choose)
    merged = merge_parts(parts)
    assert not merged.missing_parts
    assert not merged.missing_cases
    expected, found = delivered(whole), delivered(parts)
    assert found == expected, [n for n in expected if found.get(n) != expected[n]]
    return len(expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--parts", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    order = random.Random(options.seed).sample(range(options.parts), options.parts)
    with tempfile.TemporaryDirectory() as home:
        cohort = write_small_cohort(Path(home), options.cases)
        bank = Path(home) / "bank"
        build_bank(cohort.scans, bank, cohort.choose_model, FolderOptions(), 0.2, unwatched)
        models = {"cohort": cohort.choose_model, "bank": model_from_folder(bank, RESOURCES)}
        for name, choose in models.items():
            files = compare_parts(cohort, choose, name, order)
            print(f"{name}: parts in the order {order}: {files} files identical (phantom data)")


if __name__ == "__main__":
    main()
