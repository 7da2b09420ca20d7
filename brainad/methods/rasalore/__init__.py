"""Weakly supervised by slice labels: prompt tuning, pseudo masks, region-aware segmentation."""
