"""Distinct English texts of two lengths, cut from the demo's Jargon File."""

import json
import re
from itertools import islice
from pathlib import Path

_FILE = Path(__file__).parents[1] / "demo" / "jargon.jsonl"


def passages(count: int) -> list[str]:
    """Return texts of three sentences, 50 tokens of all-MiniLM-L6-v2 on average; at most some 5,200.

    The first 2,300 share no sentence.
    """
    return _distinct([text for first in range(3) for text in _joined(r"(?<=[.!?]) +", 3, first)], count)


def phrases(count: int) -> list[str]:
    """Return parts of sentences, 10 tokens on average; at most some 12,000."""
    return _distinct(_joined(r"(?<=[.,;:!?]) +", 1), count)


def _joined(separator: str, size: int, first: int = 0) -> list[str]:
    pieces = (re.split(separator, json.loads(line)["text"]) for line in _FILE.read_text(encoding="utf-8").splitlines())
    return [" ".join(parts[i : i + size]) for parts in pieces for i in range(first, len(parts), size)]


def _distinct(texts: list[str], count: int) -> list[str]:
    found = list(islice(dict.fromkeys(filter(None, texts)), count))
    if len(found) < count:
        raise ValueError(f"There are {len(found)} distinct texts, not {count}.")
    return found
