"""How many questions the packaged sample has, as its own build says."""

from __future__ import annotations

import json

from builder import rows

INFO = json.loads((rows.SAMPLE / "build_info.json").read_text(encoding="utf-8"))
TRAIN, TEST = (sum(INFO["counts"]["sample"][split].values()) for split in ("train", "test"))
