"""The backward pass of each loss separately, recorded for pictures with gradients."""
