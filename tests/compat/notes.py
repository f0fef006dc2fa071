"""The errors under a table of Markdown: each once, by the number that its cells give."""


class Notes:
    """Collects them while a table is made."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def number(self, text: str) -> str:
        """The mark for this error, `[1]`; one note serves all cells that say the same."""
        text = plain(text)
        if text not in self._texts:
            self._texts.append(text)
        return f"[{self._texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        """All of them, as a numbered list."""
        return [f"{number}. {text}" for number, text in enumerate(self._texts, 1)]


def plain(text: str) -> str:
    """An error as text of Markdown, of a length that can be read."""
    text = " ".join(text.split())
    text = text if len(text) <= 240 else text[:239] + "…"
    return "".join("\\" + character if character in "\\`*_|<>[]" else character for character in text)
