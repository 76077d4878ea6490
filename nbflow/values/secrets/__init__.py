"""Secrets: references that travel and are stored, values that live in memory only, and their traces in texts.

What is to be shown or stored comes here to be cleaned; where it is shown and stored is the business of others.
"""
