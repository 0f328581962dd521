"""`python -m vretrver.cli`."""

import sys

from vretrver.cli import main

sys.exit(main())
