"""Normal slices rebuilt from their own prototypes, with any set of channels."""

from brainad.case import Supervision
from brainad.method import MethodSpec
from brainad.methods.anyad.method import AnyAD
from brainad.methods.anyad.plan import AnyADPlan, make_plan

SPEC = MethodSpec(
    name="anyad",
    summary="trained on healthy scans or normal slices; any subset of the channels at test time",
    citation="AnyAD: unified any-modality anomaly detection in brain MRI",
    supervision=Supervision.NORMAL,
    minimum_cases=1,
    plan_type=AnyADPlan,
    plan=make_plan,
    build=AnyAD,
)
