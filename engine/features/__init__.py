"""Causal expressions over bars: written once, evaluated in batch and in a stream by the same kernels."""
