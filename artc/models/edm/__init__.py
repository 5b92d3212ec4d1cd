"""Networks and weights in the format of NVlabs EDM, read as data."""
