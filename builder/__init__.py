"""HumanMoveVQA: from videos of moving people to a benchmark of where they went and which way they turned."""

__version__ = "0.1.0"
