"""Frozen image encoders behind one protocol, and the weights they need."""
