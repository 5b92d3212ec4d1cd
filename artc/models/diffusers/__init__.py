"""Models of the diffusers library: saved folders, and pipelines in memory. The library is an optional extra."""
