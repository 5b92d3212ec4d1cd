"""Schedules of an artifact in ComfyUI."""
