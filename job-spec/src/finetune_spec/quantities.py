# SPDX-License-Identifier: Apache-2.0
"""Memory and time in Kubernetes' notation: `24Gi`, `2m30s`. No I/O here."""

import re
from fractions import Fraction

_UNITS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}
_QUANTITY = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)([A-Za-z]*)")


def parse_quantity(text: str) -> int:
    """
    Raises:
        ValueError: it is not an amount of memory; the message quotes it.
    """
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in _UNITS or float(found[1]) == 0:
        raise ValueError(f"found {text!r}, expected an amount of memory such as 24Gi")
    return int(float(found[1]) * _UNITS[found[2]])


_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_AMOUNT = re.compile(
    r"(\d{0,30})(?:\.(\d{0,30}))?(?:(?P<binary>[KMGTPE])i|(?P<decimal>[numkMGTPE])"
    r"|[eE]\+?(?P<exponent>\d{1,2}))?"
)


def parse_amount(text: str) -> Fraction | None:
    """Any Kubernetes quantity as a number: `500m` is a half. None for an invalid or impossible
    amount.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        return None
    whole, part = found[1] or "0", found[2] or ""
    number = Fraction(int(whole + part), 10 ** len(part))
    if found["binary"]:
        return number * (1 << 10 * ("KMGTPE".index(found["binary"]) + 1))
    power = int(found["exponent"]) if found["exponent"] else _POWERS[found["decimal"] or ""]
    return number * Fraction(10) ** power


def render_bytes(number: int) -> str:
    """In the unit that leaves at least one digit before the point: `14.2Gi`, `512Mi`."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if number >= _UNITS[unit]:
            text = f"{number / _UNITS[unit]:.1f}"
            return text.removesuffix(".0") + unit
    return str(number)


def render_duration(seconds: float) -> str:
    """The two largest units, as `kubectl` prints ages: `4.2s`, `2m30s`, `1h5m`, `3d4h`."""
    if seconds < 60:
        return f"{max(0, seconds):.3g}s"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "d"), (hour, "h"), (minute, "m"), (second, "s")]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)
