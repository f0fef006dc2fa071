"""Values as the servers print them: exact decimals, averages with the servers' own rounding, doubles."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Final

# 65 digits is the most a DECIMAL has; sums of many of them still fit.
EXACT: Final = Context(prec=160)
_DIVISION_INCREMENT: Final = 4
_DIGITS_PER_WORD: Final = 9


def decimal_text(value: Decimal, decimals: int) -> bytes:
    """A DECIMAL with its column's number of digits behind the point."""
    return format(EXACT.quantize(value, Decimal(1).scaleb(-decimals)), "f").encode()


def average(total: Decimal, count: int, decimals: int) -> Decimal:
    """SUM / COUNT with the precision that MySQL and MariaDB keep internally (strings/decimal.c, do_div_mod).

    A decimal is held in words of nine digits; the quotient has at least `decimals` + 4 digits, filled up to whole words, and is
    cut there, not rounded. `decimals` is that of the summed values.
    """
    words = -(-decimals // _DIGITS_PER_WORD)
    increment = max(0, _DIVISION_INCREMENT - (words * _DIGITS_PER_WORD - decimals))
    digits = -(-(words * _DIGITS_PER_WORD + increment) // _DIGITS_PER_WORD) * _DIGITS_PER_WORD
    quotient = EXACT.divide(total, Decimal(count))
    return quotient.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN, context=EXACT)


def average_text(value: Decimal, decimals: int) -> bytes:
    """An average as a server prints it: rounded half up to its column's digits."""
    return format(value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP, context=EXACT), "f").encode()


def double_text(value: float) -> bytes:
    """A DOUBLE as MySQL prints it: the shortest digits that read back the same, with an exponent beyond 10^15."""
    if value == 0:
        return b"0"
    digits, exponent = _shortest(abs(value))
    sign = b"-" if value < 0 else b""
    if -15 <= exponent < 15:
        if exponent < 0:
            return sign + b"0." + b"0" * (-exponent - 1) + digits
        if len(digits) <= exponent + 1:
            return sign + digits.ljust(exponent + 1, b"0")
        return sign + digits[: exponent + 1] + b"." + digits[exponent + 1 :]
    mantissa = digits[:1] + (b"." + digits[1:] if len(digits) > 1 else b"")
    return sign + mantissa + b"e%d" % exponent


def _shortest(value: float) -> tuple[bytes, int]:
    """The shortest decimal digits of a positive double, and the exponent of the first."""
    mantissa, _, exponent = f"{Decimal(repr(value)):e}".partition("e")
    digits = mantissa.replace(".", "").rstrip("0") or "0"
    return digits.encode(), int(exponent)


def time_microseconds(raw: bytes) -> int:
    """A TIME value, `[-]HHH:MM:SS[.ffffff]`, as a number that orders like it."""
    negative = raw[:1] == b"-"
    clock, _, fraction = raw.lstrip(b"-").partition(b".")
    hours, minutes, seconds = clock.split(b":")
    total = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000 + int(fraction.ljust(6, b"0") or 0)
    return -total if negative else total
