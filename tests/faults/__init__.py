"""Processes killed at random: nothing finished is lost, nothing is done twice that was on record."""
