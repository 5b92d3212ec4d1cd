"""Network snapshots of NVlabs EDM (`*.pkl`), read as data by a pickle machine that cannot run anything."""
