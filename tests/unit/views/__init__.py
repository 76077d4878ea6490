"""Pictures, without a run."""
