"""Where scores come from: the denoiser contract, the embedded and analytic models, and the registry of names."""
