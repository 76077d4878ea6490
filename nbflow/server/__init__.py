"""HTTP: the endpoint that starts deployments and says whether all is well.

What a request may do is decided in `nbflow.deploying`; here it is only read and answered.
"""
