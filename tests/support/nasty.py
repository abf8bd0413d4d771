"""Texts that break tokenizers, sorters and pools: every kind that occurs in real columns."""

NASTY = [
    "",
    " ",
    "   \n\t ",
    "The cat sat on the mat.",
    "the cat sat on the mat.",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 emoji only 🙂",
    "שלום עולם",
    "مرحبا بالعالم كيف حالك",
    "你好，世界。日本語のテキスト",
    "a [SEP] b",
    "[CLS] [SEP] [PAD] [MASK] </s> <s> <pad>",
    "word " * 5000,
    "x" * 20000,
    "\x00\x01 control \u200b zero\u00a0width \ufeff",
    "e\u0301 combining vs \u00e9 composed ﬁ ligature",
    "http://example.org/?q=1&r=2#frag <html>&amp;</html>",
    "1234567890 3.14159 1e-10 ½ ²",
    "!",
    "UPPER lower MiXeD",
    "London has 9,787,426 inhabitants at the 2011 census",
]
PAIRS = [("London", "people live in the city"), ("London", ""), ("", "a passage"), ("the cat " * 300, "the dog " * 300)]
