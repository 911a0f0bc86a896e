"""Scripted people made visible: their bodies, scenes and cameras, filmed as mp4 with exact ground truth.

The only package that uses moderngl and mannequin; both are imported when something is drawn, so that `truth` needs numpy alone.
"""

from builder.render.film import film, truth

__all__ = ["film", "truth"]
