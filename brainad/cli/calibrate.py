"""brainad_calibrate: thresholds at a stated false positive rate, from healthy cases."""

from __future__ import annotations

import argparse
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.runner import EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.errors import UsageError
from brainad.model_folder import write_calibration
from brainad.pipeline.calibrate import calibrate_folder
from brainad.pipeline.evaluate import find_truth
from brainad.pipeline.trained import find_model


def main() -> None:
    """Run brainad_calibrate."""
    parser = Parser(
        "brainad_calibrate",
        "Choose thresholds from predicted cases that are known to be healthy and were held out.",
    )
    parser.flag("-i", required=True, metavar="FOLDER", help="output folder of brainad_predict")
    parser.flag("-ref", required=True, metavar="FOLDER",
                help="raw dataset, or folder with cases.csv, that says who is healthy")  # fmt: skip
    parser.flag(
        "-target",
        default="fpr=0.05",
        help="fpr=RATE, the share of healthy cases that may be flagged (default fpr=0.05)",
    )
    parser.flag("-o", metavar="FILE", help="file to write (default FOLDER/calibration.json)")
    parser.flag("-m", metavar="FOLDER", help="also store the thresholds in this model")
    run(parser, _calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.i)
    target = Path(arguments.o) if arguments.o else folder / "calibration.json"
    fpr = _rate(arguments.target)
    model = find_model(Path(arguments.m)) if arguments.m else None
    calibration = calibrate_folder(folder, find_truth(Path(arguments.ref)), fpr, target)
    if model:
        write_calibration(model, calibration)
    rows = [
        {"threshold": "map", "evidence": calibration.map_threshold},
        {"threshold": "patient", "evidence": calibration.patient_threshold},
    ]
    print(format_table(rows))
    print(f"from {calibration.source}")
    if model:
        print(f"stored in {model}")
    print(f"use them with: brainad_predict ... -calibration {target}")
    return EXIT_DONE


def _rate(text: str) -> float:
    name, _, value = text.partition("=")
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if name != "fpr" or not 0 < rate < 1:
        raise UsageError(f"{text!r} is not a target", "-target", "give fpr=RATE, such as fpr=0.05")
    return rate
