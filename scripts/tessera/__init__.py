"""The Tessera library: the numerics of every pipeline, and the little that all of them share."""
