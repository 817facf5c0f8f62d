from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Optional, Sequence

MESSAGE_BYTES_MAX = 131072


class Invalid(ValueError):
    """A message that the platform would refuse."""


def _put(message: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        message = message.setdefault(key, {})
    message[path[-1]] = value


def _text(part: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{part} is not text")
    return value


def _word(part: str, words: type[Enum], value: Any) -> str:
    try:
        return words(value).value
    except ValueError:
        raise Invalid(f"{part} is none of its words") from None


def _truth(part: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"{part} is not true or false")
    return value


def _number(part: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Invalid(f"{part} is not a number")
    # Written so that a value that is no number is invalid, too.
    if not low <= value <= high:
        raise Invalid(f"{part} lies outside its bounds")
    return value


def _whole(part: str, value: Any, low: float, high: float) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{part} is not a whole number")
    if not low <= value <= high:
        raise Invalid(f"{part} lies outside its bounds")
    return value


def _time(value: Any) -> int:
    """Times are milliseconds since 1970, UTC, up to the year 9999."""
    return _whole("timestamp_ms", value, 0, 253402300799999)


def _rfc3339(value: Any) -> str:
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=_time(value))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _epoch_s(value: Any) -> float:
    return _time(value) / 1000


def _epoch_ms(value: Any) -> int:
    return _time(value)


def _end(message: Any) -> str:
    text = json.dumps(message, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > MESSAGE_BYTES_MAX:
        raise Invalid("the message is too large")
    return text


def status(is_online: bool) -> str:
    """What a device says of itself on its status topic, which may be its will."""
    return _end({"status": "online" if _truth("is_online", is_online) else "offline"})


def alarm(code: str, is_active: bool) -> str:
    """An alarm that a device raises or ends. A code has 1 to 64 characters, none of them a control character."""
    characters = [ord(character) for character in _text("code", code)]
    if not 1 <= len(characters) <= 64 or any(c < 0x20 or 0x7F <= c < 0xA0 for c in characters):
        raise Invalid("code has 1 to 64 characters, none of them a control character")
    return _end({"code": code, "active": _truth("is_active", is_active)})
