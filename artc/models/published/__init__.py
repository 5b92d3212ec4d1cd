"""Published models that artc knows by name: the catalogue, and how their files get here and stay what they were."""
