"""Sizes that the eye, its data and the processor must agree on."""

WIDTH, HEIGHT = 192, 128
"""Every picture is squeezed to this size before the eye sees it: thumbnails and crops alike."""
STRIDE = 32
"""Pixels of a picture, each way, that become one token: 6 x 4 tokens a picture."""
TOKENS = (WIDTH // STRIDE) * (HEIGHT // STRIDE)
"""Of every picture."""
