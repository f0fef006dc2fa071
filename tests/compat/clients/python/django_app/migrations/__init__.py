"""What makes the tables, step by step."""
