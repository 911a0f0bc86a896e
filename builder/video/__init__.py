"""Pixels in and out: what a video is, its frames as they are shown, clips, and hard cuts.

The only package that decodes or encodes video.  Times are seconds after the first shown frame; images are (H, W, 3) RGB.
"""

from builder.video.clip import write_clip
from builder.video.container import LIMITS, Limits, VideoInfo, probe
from builder.video.cuts import shot_cuts
from builder.video.frames import Frame, read_frames, sample_frames
from builder.video.shots import Stretch, stretches

__all__ = [
    "LIMITS",
    "Frame",
    "Limits",
    "Stretch",
    "VideoInfo",
    "probe",
    "read_frames",
    "sample_frames",
    "shot_cuts",
    "stretches",
    "write_clip",
]
