"""The back end "native": machine code for a program, made by llvmlite."""
