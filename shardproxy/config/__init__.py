"""The one configuration file: its model, its loader with every fault listed at once, and its JSON Schema."""
