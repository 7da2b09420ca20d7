"""Everything that runs over many cases: the only place that knows all packages below."""
