"""What implementers and users need for their tests: a virtual clock and the conformance suites of the ports.

Nothing in nbflow uses it, and nbflow's tests of its own parts belong to `tests/`.
"""
