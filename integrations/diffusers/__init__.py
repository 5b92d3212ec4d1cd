"""Schedules of an artifact in diffusers."""
