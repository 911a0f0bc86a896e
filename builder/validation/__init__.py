"""How good a lifter is, against tracks that are known to be true: errors in space and time, and how many answers change."""
