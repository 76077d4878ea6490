"""Every way to write a flow: decorated functions and notebooks, all ending in the same specs.

How a run is driven belongs to the engine, how it is read and steered to the client.
"""
