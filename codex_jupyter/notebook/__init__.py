"""What runs in the kernel: magics, views, kernel tools."""
