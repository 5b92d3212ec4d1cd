"""Compiled example artifacts, one folder a model, readable as `importlib.resources.files("artc.artifacts")`."""
