"""Weakly supervised by slice labels: prompt tuning, pseudo masks, region-aware segmentation."""

from brainad.case import Supervision
from brainad.method import MethodSpec
from brainad.methods.rasalore.method import RASALoRE
from brainad.methods.rasalore.plan import RasalorePlan, make_plan

SPEC = MethodSpec(
    name="rasalore",
    summary="learns from slice labels; draws lesions that nobody drew for it",
    citation="RASALoRE (BMVC 2025)",
    supervision=Supervision.SLICE,
    minimum_cases=1,
    plan_type=RasalorePlan,
    plan=make_plan,
    build=RASALoRE,
    map_threshold=0.5,
)
