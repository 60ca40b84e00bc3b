"""python -m mcpd"""

import sys

from mcpd.cli import main

if __name__ == "__main__":
    sys.exit(main())
