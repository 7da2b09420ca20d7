"""Make plans, and keep those that exist: a plan edited by hand is honoured."""

from __future__ import annotations

import json
import logging
import math
from importlib import resources as package_files
from pathlib import Path

from brainad import methods
from brainad.errors import UsageError
from brainad.files import read_json, write_json
from brainad.plan import Fingerprint, Plan, Resources, from_table, to_table
from brainad.planning.planner import PlanningOptions, WorkingSpace, facts_hash, plan_dataset
from brainad.preprocessing.normalisation import NyulReference
from brainad.preprocessing.template import MNI152, load_template

_log = logging.getLogger(__name__)


def intensity_reference() -> dict[str, tuple[float, ...]]:
    """Return the built-in standard landmarks per channel.

    Raises:
        UsageError: they are not those whose hashes are stored with them.
    """
    path = package_files.files("brainad.preprocessing") / "intensity_reference.json"
    table = json.loads(path.read_text())
    found = {
        channel: NyulReference(tuple(values)) for channel, values in table["landmarks"].items()
    }
    changed = [name for name, one in found.items() if one.hash != table["sha256"].get(name)]
    if changed:
        raise UsageError(
            f"the standard intensities of {', '.join(changed)} do not match their hash",
            str(path),
            "install brainad again",
        )
    return {channel: one.landmarks for channel, one in found.items()}


def make_plan(
    name: str,
    fingerprint: Fingerprint,
    resources: Resources,
    options: PlanningOptions,
    template: str = MNI152,
) -> Plan:
    """Plan for measured data with all methods at hand.

    Args:
        name: of the dataset or folder.
        fingerprint: what was measured.
        resources: what the machine offers.
        options: what the user says.
        template: ``mni152`` or the path of a skull-stripped template.
    """
    lower, upper = load_template(template).box_mm()
    box = tuple((float(low), float(high)) for low, high in zip(lower, upper, strict=True))
    space = WorkingSpace(template, (box[0], box[1], box[2]), intensity_reference())
    specs = {method: methods.get(method) for method in methods.available()}
    return plan_dataset(name, fingerprint, resources, specs=specs, space=space, options=options)


def read_plan(path: Path) -> Plan:
    """Read a plan file strictly.

    Raises:
        UsageError: missing, not JSON, or with unknown or missing keys.
    """
    if not path.is_file():
        raise UsageError("there is no plan", str(path), "make one: brainad_plan_experiment -d ...")
    return from_table(Plan, read_json(path), str(path))


def keep_or_make_plan(
    path: Path,
    name: str,
    fingerprint: Fingerprint,
    resources: Resources,
    options: PlanningOptions,
) -> Plan:
    """Read the plan at `path` if it was made for these data; else make and write one.

    A plan that is made anew leaves the old one, which may have been edited, beside it.
    """
    if path.is_file():
        plan = read_plan(path)
        spacing_mm, asked = plan.preprocessing.spacing_mm, options.spacing_mm
        if plan.fingerprint_hash != facts_hash(fingerprint, options):
            _log.info("the data or dataset.json changed since %s was written: planning again", path)
        elif asked is not None and not math.isclose(asked, spacing_mm):
            _log.info(
                "voxels of %g mm are asked for, %s has %g mm: planning again",
                asked,
                path,
                spacing_mm,
            )
        else:
            _log.info("using the plan %s", path)
            return plan
        kept = path.with_suffix(".previous.json")
        path.replace(kept)
        _log.info("the old plan is kept as %s", kept)
    plan = make_plan(name, fingerprint, resources, options)
    write_json(path, to_table(plan))
    return plan
