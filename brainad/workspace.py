"""Where datasets, prepared data, results and weights live; the only reader of the environment."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brainad.errors import UsageError

_log = logging.getLogger(__name__)
_BORROWED = "nnUNet_raw"
_DATASET_NAME = re.compile(r"Dataset(\d{3})_([A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class Workspace:
    """The four root folders.

    Args:
        raw: datasets as the user gave them, never written to except to create new ones.
        preprocessed: fingerprints, plans and prepared cases.
        results: trained models, banks and cross-validation results.
        weights: pretrained encoders.
    """

    raw: Path
    preprocessed: Path
    results: Path
    weights: Path

    def dataset_folder(self, identifier: str) -> Path:
        """Find a raw dataset by number (501), full name (Dataset501_X) or path.

        Raises:
            UsageError: nothing fits, or one number has several names.
        """
        as_path = Path(identifier).expanduser()
        if (as_path / "dataset.json").is_file():
            return as_path.resolve()
        found = self._matching(self.raw, identifier)
        roots = (self.raw, self.preprocessed, self.results)
        names = {folder.name for root in roots for folder in self._matching(root, identifier)}
        if len(names) > 1:
            raise UsageError(
                f"dataset {identifier} has several names: {', '.join(sorted(names))}",
                ", ".join(str(root) for root in roots),
                "give the full name, or rename the folders so that they agree",
            )
        if not found:
            present = sorted(p.name for p in self.raw.glob("Dataset*")) if self.raw.is_dir() else []
            raise UsageError(
                f"no dataset {identifier!r}; found: {', '.join(present) or 'none'}",
                str(self.raw),
                "give a number such as 501, a name such as Dataset501_X, or a path, "
                "and set brainad_raw if your datasets live elsewhere",
            )
        return found[0]

    @staticmethod
    def _matching(root: Path, identifier: str) -> list[Path]:
        if not root.is_dir():
            return []
        number = int(identifier) if identifier.isdigit() else None
        found = []
        for folder in sorted(root.iterdir()):
            match = _DATASET_NAME.fullmatch(folder.name)
            named = match and (folder.name == identifier or int(match[1]) == number)
            if named and folder.is_dir():
                found.append(folder)
        return found

    def trained_datasets(self, identifier: str) -> list[Path]:
        """Return the results folders that a number or name means; the scans need not be here."""
        return self._matching(self.results, identifier)

    def preprocessed_folder(self, dataset: Path) -> Path:
        """Return the folder for everything derived from a raw dataset."""
        return self.preprocessed / dataset.name

    def results_folder(self, dataset: Path) -> Path:
        """Return the folder for everything trained on a raw dataset."""
        return self.results / dataset.name


@dataclass(frozen=True)
class Root:
    """A root folder and what named it: a flag, a variable, or the default."""

    path: Path
    origin: str


def find_workspace(
    arguments: Mapping[str, str | None], environment: Mapping[str, str] | None = None
) -> Workspace:
    """Locate the root folders: argument, then environment, then ``BRAINAD_HOME``, then home.

    Args:
        arguments: folders named on the command line, by role (raw, preprocessed, ...).
        environment: variables to read instead of the process's own.
    """
    roots = locate_roots(arguments, environment)
    if roots["raw"].origin == _BORROWED:
        raw = roots["raw"].path
        _log.info("brainad_raw is not set: reading raw datasets from nnUNet_raw %s", raw)
    return Workspace(**{role: root.path for role, root in roots.items()})


def locate_roots(
    arguments: Mapping[str, str | None], environment: Mapping[str, str] | None = None
) -> dict[str, Root]:
    """Locate the root folders and tell what named each; see `find_workspace`."""
    variables = os.environ if environment is None else environment
    home = _folder(variables.get("BRAINAD_HOME") or "~/brainad", variables)
    origin = "BRAINAD_HOME" if variables.get("BRAINAD_HOME") else "default"

    def locate(role: str) -> Root:
        named = {f"--{role}": arguments.get(role)}
        names = [f"brainad_{role}", f"BRAINAD_{role.upper()}"]
        names += [_BORROWED] if role == "raw" else []
        named |= {name: variables.get(name) for name in names}
        for name, value in named.items():
            if value:
                return Root(_folder(value, variables), name)
        return Root(home / role, origin)

    return {role: locate(role) for role in ("raw", "preprocessed", "results", "weights")}


def _folder(text: str, variables: Mapping[str, str]) -> Path:
    """Strip quotes (the Windows prompt keeps them), expand ~ and $VAR, make absolute."""
    text = text.strip().strip("\"'")
    text = re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda m: variables.get(m[1] or m[2], m[0]), text)
    return Path(text).expanduser().absolute()


def shard_from_environment(environment: Mapping[str, str] | None = None) -> tuple[int, int] | None:
    """Return (number of parts, this part's index from 0) of a SLURM array job, if in one."""
    variables = os.environ if environment is None else environment
    index = variables.get("SLURM_ARRAY_TASK_ID", "")
    count = variables.get("SLURM_ARRAY_TASK_COUNT", "")
    first = variables.get("SLURM_ARRAY_TASK_MIN", "0")
    step = variables.get("SLURM_ARRAY_TASK_STEP", "1")
    if all(text.isdigit() for text in (index, count, first, step)):
        return int(count), (int(index) - int(first)) // max(int(step), 1)
    return None
