"""`python -m shardproxy` is the same program as `shardproxy`."""

import sys

from shardproxy.cli.main import main

sys.exit(main())
