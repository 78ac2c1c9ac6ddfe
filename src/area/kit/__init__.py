"""What knows nothing of AREA."""
