"""`python -m nbflow`: the command line without its script."""

from nbflow.cli.main import main

main()
