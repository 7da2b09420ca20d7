"""From raw scans to prepared cases: one module per step, `prepare.py` orders them."""
