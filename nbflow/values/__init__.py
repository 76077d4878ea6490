"""Bytes of values: codec, digests, code identity, signing, mapped buffers and artifact stores.

What a value means to a run (tasks, references, caching) belongs to the engine, and rows belong to storage.
"""
