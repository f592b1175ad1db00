"""A module of a user's that fails when it is imported."""

HALF = 1 / 0
