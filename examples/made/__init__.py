"""What the example bundles are made of; `make_bundles.py` writes them."""
