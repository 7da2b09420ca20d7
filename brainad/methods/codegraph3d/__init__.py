"""Training-free anomaly detection: 3D tokens of a cohort scored against each other."""

from brainad.case import Supervision
from brainad.method import MethodSpec
from brainad.methods.codegraph3d.method import CoDeGraph3D
from brainad.methods.codegraph3d.plan import MINIMUM_COHORT, CoDeGraph3DPlan, make_plan

SPEC = MethodSpec(
    name="codegraph3d",
    summary="training-free; scans of a cohort are scored against each other, or a stored bank",
    citation="CoDeGraph3D, arXiv 2602.15315 (MIDL 2026)",
    supervision=Supervision.NONE,
    minimum_cases=MINIMUM_COHORT,
    plan_type=CoDeGraph3DPlan,
    plan=make_plan,
    build=CoDeGraph3D,
)
