"""The commands: arguments in, text or JSON out, exit codes that mean something. What they do is done further down."""
