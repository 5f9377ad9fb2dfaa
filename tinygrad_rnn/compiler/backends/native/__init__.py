"""Machine code for a program, by llvmlite."""
