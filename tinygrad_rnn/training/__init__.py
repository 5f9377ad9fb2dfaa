"""Training: losses, optimizers, checkpoints and text."""
