"""Networks: where they come from, their weights, their layers, and how they are run."""
