"""Running programs: arguments, workspaces, checkpoints."""
