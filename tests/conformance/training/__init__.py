"""A training workflow of eight steps in four forms: with good or bad data, and a good or bad model."""
