"""From a plan and the values of one statement to the shards it goes to and the text that each gets. Pure functions."""
