"""Diffusion MRI: brain mask, denoising, tensor maps."""
