"""Pictures that people trust: the floor path of a person, the six channels with their events, and the report of a build."""

from builder.viz.channels import channels_figure
from builder.viz.lifted import lifted_figure, shown_frames
from builder.viz.path import path_figure
from builder.viz.report import report
from builder.viz.scores import category_bars, probe_bars, source_heatmap

__all__ = [
    "category_bars",
    "channels_figure",
    "lifted_figure",
    "path_figure",
    "probe_bars",
    "report",
    "shown_frames",
    "source_heatmap",
]
