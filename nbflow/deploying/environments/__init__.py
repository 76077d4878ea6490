"""What a version of a flow needs to run: told where it is promoted, compared and, if asked for, built where it runs.

Which version asks for what, and what runs in an environment, is the business of whoever promotes and starts it.
"""
