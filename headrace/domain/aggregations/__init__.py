"""What can be computed over a window, one function a file; `registry` lists them."""
