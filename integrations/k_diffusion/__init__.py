"""Schedules of an artifact in k-diffusion."""
