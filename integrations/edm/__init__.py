"""Schedules of an artifact in NVlabs EDM and EDM2."""
