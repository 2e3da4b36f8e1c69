"""What a classifier is worth: metrics, reports, plots."""
