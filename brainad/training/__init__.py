"""What methods that learn share: the truth they may see, one loop, checkpoints, kept features."""
