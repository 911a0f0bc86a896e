"""A recipe with sizes of the tests' own, so that fitting does not depend on what the default lifter's happen to be."""

from dataclasses import replace

from builder import recipe

INJECTED = dict(drift_per_m=0.03, scale=0.04, anchor_deg=4.0, heading_deg=3.0, height_m=0.015, height_shift=0.3, lean_deg=2.5)
R = recipe.load()
R = replace(R, robustness=replace(R.robustness, **INJECTED))
