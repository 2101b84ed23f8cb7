"""Finding what a note mentions: a spaCy pipeline of tokenizer and sentences, and the code index over their words.

A mention is a span of the text whose words are a term's words in any order, or, where the whole phrase between function
words is close to a term, that phrase. Of overlapping mentions the one that says most stays. https://spacy.io/api/pipe
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ai.assertion.context import PLAIN, assertion, read_sentence, section_assertion
from ai.codes.index import Index, Match
from ai.codes.terms import Term
from ai.codes.words import key_of, vocabulary, words_of

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.vocab import Vocab

_LONGEST = 8
_LONGEST_SENTENCE = 150
_STOPS = frozenset(".?!")
_NEAR = 0.72
_ROOTLESS = 2
_SHORTEST_NAME = 3
_TOKEN = re.compile(r"[\w\u0300-\u036f]+(?:['\u2019]\w+)?| |[^\S ]+|[^\w\s]")
_BREAK = re.compile(r"^[\s.,;:()\[\]/!?*+=<>|\"]+$")
_CANDIDATES = 5
_POSSESSIVE = re.compile(r"['\u2019]s?$")


@dataclass(frozen=True, slots=True)
class Mention:
    """``text[start:end]`` of a note, the codes it may mean (best first), how it is asserted, and its share of idf."""

    start: int
    end: int
    matches: tuple[Match, ...]
    assertion: str
    weight: float
    words: int


@cache
def pipeline() -> Language:
    """Return the shared pipeline: English, with our tokenizer, which also marks where sentences begin."""
    import spacy  # noqa: PLC0415 - a second and 60 MB, for the first call only

    nlp = spacy.blank("en")
    nlp.tokenizer = partial(_tokenize, nlp.vocab)
    return nlp


def _tokenize(vocab: Vocab, text: str) -> Doc:
    """Cut a text into words, marks and white space, and these into sentences.

    spaCy's own tokenizer peels punctuation off a token mark by mark, and its setter of sentence starts looks at the whole
    document: on a row of brackets both take minutes. This is linear in the length of the text.
    """
    from spacy.tokens import Doc  # noqa: PLC0415

    words: list[str] = []
    spaces: list[bool] = []
    for piece in _TOKEN.findall(text):
        if piece == " " and words and not spaces[-1] and not words[-1].isspace():
            spaces[-1] = True
        else:
            words.append(piece)
            spaces.append(False)
    return Doc(vocab, words=words, spaces=spaces, sent_starts=_sentence_starts(words))


def _sentence_starts(words: Sequence[str]) -> list[bool | int | None]:
    """Begin a sentence after a stop, or after a line end when the next line begins like one.

    Without any stop a text would be one sentence, and the work per sentence grows with its square: so there is a longest.
    """
    starts: list[bool | int | None] = [True] * len(words)
    length = 0
    for position in range(1, len(words)):
        before = words[position - 1]
        length += 1
        line_end = "\n" in before and (not words[position][0].islower() or "\n\n" in before)
        starts[position] = before in _STOPS or line_end or length >= _LONGEST_SENTENCE
        length = 0 if starts[position] else length
    return starts


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What mentions are looked up in: the index of terms, and the codes that coders gave to certain words."""

    index: Index
    learned: dict[str, tuple[tuple[str, float], ...]]

    def exact(self, words: Sequence[str], written: str) -> tuple[Match, ...]:
        """Return the codes of exactly these words, those learned from coders first.

        A lone name counts only as it is ``written`` in the classification.
        """
        learned = self.learned.get(key_of(list(words)), ())
        text = " ".join(words)
        taught = tuple(Match(code, share, Term(text, code, "coders"), exact=True) for code, share in learned)
        names = self.index.names.get(key_of(list(words)))
        if names and _POSSESSIVE.sub("", written) not in names:
            return taught
        return taught + tuple(self.index.exact(words))


def find_mentions(text: str, lexicon: Lexicon) -> list[Mention]:
    """Return the mentions in a note, in order, not overlapping; offsets are those of Python (code points)."""
    found: list[Mention] = []
    section: str | None = None
    for sentence in pipeline()(text).sents:
        title = section_assertion(sentence.text) if ":" in sentence.text else None
        if ":" in sentence.text and _is_title(sentence.text):
            section = title
        found += _in_sentence(sentence, section, lexicon)
    return found


def _is_title(sentence: str) -> bool:
    """Tell a section's title: a few words at the start of a line, up to a colon."""
    title = sentence.partition(":")[0].strip()
    return bool(title) and len(title.split()) <= 4 and title[0].isupper()  # noqa: PLR2004


def _in_sentence(sentence: Span, section: str | None, lexicon: Lexicon) -> Iterator[Mention]:
    candidates: list[Candidate] = []
    for phrase in phrases(sentence):
        candidates += _exact(phrase, lexicon)
        candidates += _near(phrase, lexicon)
    if not candidates:
        return
    read = read_sentence(sentence.text)
    taken = bytearray(len(sentence.text))
    chosen = []
    for weight, start, end, words, matches in sorted(candidates, key=lambda c: (-c[0], c[1])):
        begin, stop = start - sentence.start_char, end - sentence.start_char
        if not any(taken[begin:stop]):
            taken[begin:stop] = b"\x01" * (stop - begin)
            local = assertion(read, begin, stop)
            said = section if section and local == PLAIN else local
            chosen.append(Mention(start, end, matches, said, weight, words))
    yield from sorted(chosen, key=lambda mention: mention.start)


Phrase = list[tuple[Any, list[str]]]


def phrases(sentence: Span) -> Iterator[Phrase]:
    """Yield runs of tokens between punctuation, each with its comparable words."""
    phrase: Phrase = []
    for token in sentence:
        if _BREAK.match(token.text):
            if phrase:
                yield phrase
            phrase = []
        else:
            phrase.append((token, words_of(token.text)))
    if phrase:
        yield phrase


Candidate = tuple[float, int, int, int, tuple[Match, ...]]


def _exact(phrase: Phrase, lexicon: Lexicon) -> Iterator[Candidate]:
    """Yield windows whose words are exactly a term's; a window begins and ends with a word that counts."""
    generic = vocabulary()["generic"]
    for first, last, words in windows(phrase):
        distinct = set(words)
        if distinct <= generic or not _names(distinct):
            continue
        matches = lexicon.exact(words, phrase[first][0].text)
        if matches:
            start, end = phrase[first][0].idx, phrase[last][0].idx + len(phrase[last][0].text)
            yield lexicon.index.weight(sorted(distinct)) + 1.0, start, end, len(distinct), matches[:_CANDIDATES]


def windows(phrase: Phrase) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first token, last token, words) of each stretch that begins and ends with a word that counts."""
    for first, (_, opening) in enumerate(phrase):
        words: list[str] = []
        for last in range(first, min(first + _LONGEST, len(phrase)) if opening else first):
            words = words + phrase[last][1]
            if phrase[last][1]:
                yield first, last, words


def _near(phrase: Phrase, lexicon: Lexicon) -> Iterator[Candidate]:
    """Yield runs of words that count when the whole run is close to a term though not the same."""
    for run in _runs(phrase):
        words = [word for _, own in run for word in own]
        if not _ROOTLESS <= len(set(words)) <= _LONGEST or not _names(set(words)):
            continue
        if lexicon.exact(words, run[0][0].text):
            continue
        ranked = lexicon.index.rank(words, _CANDIDATES)
        # A name and a word beside it are no wording of that name.
        matches = tuple(
            match
            for match in ranked
            if match.score >= _NEAR and key_of(words_of(match.term.text)) not in lexicon.index.names
        )
        if matches:
            start, end = run[0][0].idx, run[-1][0].idx + len(run[-1][0].text)
            # Cubed, so that a run with words to spare yields to the exact term inside it.
            weight = lexicon.index.weight(sorted(set(words))) * matches[0].score ** 3
            yield weight, start, end, len(set(words)), matches


def _runs(phrase: Phrase) -> Iterator[Phrase]:
    run: Phrase = []
    for token, words in phrase:
        if words:
            run.append((token, words))
            continue
        if run:
            yield run
        run = []
    if run:
        yield run


def _names(words: set[str]) -> bool:
    """Tell whether words can name something: digits and single letters alone cannot."""
    return any(len(word) >= _SHORTEST_NAME and not word.isdigit() for word in words)
