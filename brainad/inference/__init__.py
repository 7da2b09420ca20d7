"""From a prediction on the working grid to files on the grid of the scan."""
