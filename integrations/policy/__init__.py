"""The policy of an artifact as a sampler, with the signature that k-diffusion gave to samplers."""

from .sampler import policy_sampler

__all__ = ["policy_sampler"]
