"""A person's own question, answered by the track: read by tables of phrases, mapped onto the benchmark's templates, decided by them.

`answer` never guesses.  It gives the question as it was read, the track's answer with the moments that decide it, or one plain
line on why the track cannot tell.
"""

from builder.asking.deciding import Moment, Reply, Subject, moments_of, reply
from builder.asking.reading import LONGEST_TEXT

__all__ = ["LONGEST_TEXT", "Moment", "Reply", "Subject", "moments_of", "reply"]
