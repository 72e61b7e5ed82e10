"""Videos to a store of frame features, on one device or several."""
