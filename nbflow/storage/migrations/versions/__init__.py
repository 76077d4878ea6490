"""One module for each version of the schema. Never edited after a release."""
