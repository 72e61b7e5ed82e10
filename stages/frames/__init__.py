"""A store's frames as tensors, and the pairs drawn from them."""
