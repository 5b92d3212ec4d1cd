"""`python -m artc.integrations.edm`: see `launcher.py`."""

from .launcher import main

main()
