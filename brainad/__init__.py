"""brainad: find what does not belong in a brain MRI."""
