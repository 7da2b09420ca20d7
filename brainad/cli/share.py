"""brainad_export_model_to_zip and brainad_install_pretrained_model_from_zip."""

from __future__ import annotations

import argparse
from pathlib import Path

from brainad.cli.arguments import Parser
from brainad.cli.flags import DATASET_ROLES, workspace_of
from brainad.cli.runner import EXIT_DONE, run
from brainad.errors import UsageError
from brainad.pipeline.share import export_models, install_models
from brainad.pipeline.trained import (
    dataset_name,
    find_model,
    fold_folder,
    name_root,
    trained_folds,
    trainer_folder,
)


def export_main() -> None:
    """Run brainad_export_model_to_zip."""
    parser = Parser(
        "brainad_export_model_to_zip", "Write trained models into one zip with SHA-256 sums."
    )
    parser.flag("-d", "--dataset", metavar="DATASET", help="501 or Dataset501_X")
    parser.flag("-c", "--configuration", metavar="METHOD", help="configuration (a method)")
    parser.flag("-f", nargs="+", metavar="FOLD", help="folds (default: all that are trained)")
    parser.flag("-m", metavar="FOLDER", help="a model or bank, instead of -d and -c")
    parser.flag("-o", required=True, metavar="ZIP", help="zip to write")
    parser.flag("--not_strict", action="store_true", help="leave out folds that are not trained")
    parser.workspace_flags(*DATASET_ROLES)
    run(parser, _export)


def _export(arguments: argparse.Namespace) -> int:
    target = Path(arguments.o)
    if bool(arguments.m) == bool(arguments.dataset):
        raise UsageError("give either -m, or -d with -c", "brainad_export_model_to_zip", "see -h")
    if arguments.m:
        folder = find_model(Path(arguments.m).resolve())
        export_models([folder], name_root(folder), target)
        print(f"{target}: {folder}")
        return EXIT_DONE
    if not arguments.configuration:
        raise UsageError("-c is missing", "-c", "name the method, such as -c anyad")
    workspace = workspace_of(arguments)
    name = dataset_name(workspace, arguments.dataset)
    trainer = trainer_folder(workspace.results / name, arguments.configuration)
    trained = trained_folds(trainer)
    wanted = arguments.f or trained
    missing = [fold for fold in wanted if fold not in trained]
    folds = [fold for fold in wanted if fold in trained]
    if not folds or (missing and not arguments.not_strict):
        raise UsageError(
            f"folds {', '.join(missing) or 'none'} are not trained; found "
            f"{', '.join(trained) or 'none'}",
            str(trainer),
            "train them with brainad_train, or leave them out with --not_strict",
        )
    export_models([fold_folder(trainer, fold) for fold in folds], workspace.results, target)
    print(f"{target}: folds {', '.join(folds)} of {trainer}")
    return EXIT_DONE


def install_main() -> None:
    """Run brainad_install_pretrained_model_from_zip."""
    parser = Parser(
        "brainad_install_pretrained_model_from_zip",
        "Check a zip of models and install it into the results folder.",
    )
    parser.add_argument("zip", metavar="ZIP", help="made by brainad_export_model_to_zip")
    parser.flag("--overwrite", action="store_true", help="replace models that are there")
    parser.flag("--check_only", action="store_true", help="check the zip and change nothing")
    parser.workspace_flags("results")
    run(parser, _install)


def _install(arguments: argparse.Namespace) -> int:
    installed = install_models(
        Path(arguments.zip),
        workspace_of(arguments).results,
        arguments.overwrite,
        arguments.check_only,
    )
    state = "checked" if arguments.check_only else "installed"
    for folder, licence in zip(installed.folders, installed.licences, strict=True):
        print(f"{state} {folder}\n  licence  {licence or 'not stated'}")
    return EXIT_DONE
