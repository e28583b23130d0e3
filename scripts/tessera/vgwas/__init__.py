"""Voxel-wise genome-wide association: every variant against every voxel of brain images."""
