"""What flows back along the tape, every loss by itself: what pictures with gradients read."""
