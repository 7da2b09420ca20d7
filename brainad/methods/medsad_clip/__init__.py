"""Supervised by lesion masks: a frozen vision-language encoder with adapters and a decoder."""

from brainad.case import Supervision
from brainad.method import MethodSpec
from brainad.methods.medsad_clip.method import MedSADCLIP
from brainad.methods.medsad_clip.plan import MedSADCLIPPlan, make_plan

SPEC = MethodSpec(
    name="medsad_clip",
    summary="learns from lesion masks; a frozen vision-language encoder is adapted",
    citation="MedSAD-CLIP: Supervised CLIP with Token-Patch Cross-Attention for Medical Anomaly "
    "Detection and Segmentation",
    supervision=Supervision.VOXEL,
    minimum_cases=1,
    plan_type=MedSADCLIPPlan,
    plan=make_plan,
    build=MedSADCLIP,
    map_threshold=0.5,
)
