"""Artifacts inside other people's samplers: one thin folder a host, importable as `artc.integrations.<host>`.

An integration reads an artifact and hands the host what the host already takes: a list of noise levels, a list of
timesteps, a scheduler object. It imports `artc.artifact` and `artc.errors` (and `artc.sampling` where the host takes no
grid), the host itself only inside functions, and its own siblings by relative imports.
"""
