"""English texts made comparable, and the word error rate between them.

Case, punctuation, spelled-out numbers, contractions, titles and British spelling are no errors of
a transcriber; everything else counts.  Both sides go through the same function.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import jiwer

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SIZES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))

CONTRACTIONS = {
    r"\bwon't\b": "will not",
    r"\bcan't\b": "can not",
    r"\bcannot\b": "can not",
    r"\blet's\b": "let us",
    r"n't\b": " not",
    r"'re\b": " are",
    r"'ll\b": " will",
    r"'ve\b": " have",
    r"'m\b": " am",
}

WORDS = {
    "mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "prof": "professor",
    "ok": "okay", "colour": "color", "flavour": "flavor", "favour": "favor", "honour": "honor",
    "neighbour": "neighbor", "grey": "gray", "centre": "center", "theatre": "theater",
    "defence": "defense", "realise": "realize", "recognise": "recognize",
    "organise": "organize", "travelled": "traveled", "programme": "program",
}  # fmt: skip


def normal(text: str) -> str:
    """Lower-case words with single spaces between them."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'").replace("‘", "'")
    for pattern, plain in CONTRACTIONS.items():
        text = re.sub(pattern, plain, text)
    text = re.sub(r"\d{1,3}(,\d{3})+\b", lambda found: f" {counted(found[0])} ", text)
    text = re.sub(r"\d+", lambda found: f" {spoken(found[0])} ", text).replace("%", " percent ")
    text = re.sub(r"\b(?:a|one) (hundred|thousand)\b", r"one \1", text)
    text = re.sub(r"[^\w' ]|_", " ", text)
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
    return " ".join(WORDS.get(word, word) for word in text.split())


def spoken(digits: str) -> str:
    """A number as people read it out: 1984 as `nineteen eighty four`, like a year."""
    number = int(digits)
    if 1100 <= number < 2100 and number % 1000 >= 10 and number % 100 >= 10:
        return f"{counted(digits[:2])} {counted(digits[2:])}"
    return counted(digits)


def counted(digits: str) -> str:
    """A number as an amount: 1,250 as `one thousand two hundred fifty`."""
    number = int(digits.replace(",", ""))
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f" {ONES[number % 10]}" if number % 10 else "")
    size, name = next((size, name) for size, name in SIZES if number >= size)
    rest = f" {counted(str(number % size))}" if number % size else ""
    return f"{counted(str(number // size))} {name}{rest}"


@dataclass(frozen=True, slots=True)
class Errors:
    """How far a text is from the reference: the rate, and what it is made of, in words."""

    rate: float
    substituted: int
    deleted: int
    inserted: int


def word_errors(reference: str, heard: str) -> Errors:
    """Word error rate after normalising both sides."""
    found = jiwer.process_words(normal(reference), normal(heard))
    return Errors(found.wer, found.substitutions, found.deletions, found.insertions)
