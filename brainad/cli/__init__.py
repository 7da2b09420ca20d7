"""The commands: a thin skin over `brainad.pipeline`."""
