"""Handles on runs, and what is made of their records."""
