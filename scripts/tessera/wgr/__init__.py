"""Whole-genome regression and association tests of traits, as REGENIE does them."""
