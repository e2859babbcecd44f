"""``python -m hubkit.cli`` is ``hubkit``, where the script is not on the path."""

import sys

from hubkit.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
