"""Golden plans and refusals, as SQL files; see README.md."""
