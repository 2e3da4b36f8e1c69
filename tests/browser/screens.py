"""Sizes of screens in pixels, and how long a test waits for what is shown on them."""

DESKTOP, PHONE = (1280, 900), (390, 844)

PATIENCE = 90_000
"""Milliseconds: two cores may be shared with much else."""
