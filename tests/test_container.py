"""What a file's tags tell of its camera; the rest of the container's reading stands in test_video and test_video_hostile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builder.video import container, probe

av = pytest.importorskip("av")
APPLE = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def tagged(path: Path, tags: dict[str, str]) -> Path:
    with av.open(str(path), "w", format="mov", options={"movflags": "use_metadata_tags"}) as out:
        out.metadata.update(tags)
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(6):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((180, 320, 3), 40 * k, np.uint8), format="rgb24")))
        out.mux(stream.encode())
    return path


def test_a_focal_length_in_the_file_is_told_in_pixels(tmp_path: Path) -> None:
    """26 mm on the diagonal of 36 x 24 mm film are 0.6 of this picture's diagonal of 367 pixels."""
    found = probe(tagged(tmp_path / "phone.mov", {APPLE: "26"})).focal_px
    assert found == pytest.approx(26 / 43.27 * np.hypot(320, 180), rel=1e-3)
    assert probe(tagged(tmp_path / "other.mov", {"com.apple.quicktime.make": "35"})).focal_px is None


@pytest.mark.parametrize(("tags", "mm"), [
    ({APPLE: "28.5"}, 28.5),
    ({"FocalLengthIn35mmFormat": "24 mm"}, 24.0),
    ({APPLE: "0"}, None),
    ({APPLE: "nan"}, None),
    ({APPLE: "26; rm -rf"}, None),
    ({APPLE: "99999"}, None),
    ({"com.apple.quicktime.camera.lens_model": "35mm"}, None),
    ({"focal_length": "4.2"}, None),
])  # fmt: skip
def test_only_credible_equivalents_count(tags: dict[str, str], mm: float | None) -> None:
    expected = None if mm is None else pytest.approx(mm / container.FILM_DIAGONAL_MM * 1000)
    assert container._focal_px(tags, 1000.0) == expected
