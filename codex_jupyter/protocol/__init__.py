"""Shapes that cross a wire or a lane: no event loop, no I/O."""
