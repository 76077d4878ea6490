"""`python -m nbflow`: the command line without its script."""

import sys

from nbflow.cli.main import main

sys.exit(main())
