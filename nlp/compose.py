"""Labels that no dictionary finds, since their words stand apart or share a word.

    coordination   "right upper and lower lobes", "left and right adrenal glands"
    both sides     "bilateral adrenal glands"
    inversion      "head of the pancreas", "lower lobe of the left lung"
    split          "node in the mediastinum", "mass, right lobe, liver"
    side           "left posterior renal cyst"

Every rule only puts words together to a phrase that the ontology lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from nlp.lexicon import SIDES, Lexicon, Words


class Match(NamedTuple):
    """Words [start, end) of a sentence name a term, by a rule."""

    start: int
    end: int
    term: str
    rule: str = "synonym"

    def covers(self, other: Match) -> bool:
        """Whether the other's words are all among its own."""
        return self.start <= other.start and other.end <= self.end


CONJUNCTIONS: Final = frozenset({"and", "or", "/", "&", ","})
_PREPOSITIONS: Final = frozenset("in of within at along on from inside involving the a an".split())
_PLACES: Final = frozenset(
    """anterior posterior medial lateral superior inferior anteromedial anterolateral posteromedial
    posterolateral central centrally peripheral peripherally proximal distal mid middle upper lower
    apical basal interpolar pole lobe segment segmental portion part aspect region side dome base
    tip surface wall midline left right paramedian subsegment i ii iii iv v vi vii viii limb level
    chain station area quadrant sub capsular subcapsular inner outer deep dorsal ventral""".split()
)
_FILLERS: Final = frozenset(
    """small lesion focus single solitary multiple several few new stable unchanged mild moderate
    another additional indeterminate mixed density attenuation predominantly partially well poorly
    complex round rounded benign isolated dominant borderline prominent measuring measure mm cm x
    approximately is are was wa were ha be been seen noted identified present again
    there with ( ) : ; , - faint subtle likely probably possibly probable
    possible representing represent consistent compatible suggesting suggestive presumed""".split()
)
LIGHT: Final = _PREPOSITIONS | _PLACES | _FILLERS
_MAX_GAP: Final = 16
_BOTH: Final = frozenset({"bilateral", "both", "bilaterally"})


def compose(words: Sequence[str], found: Sequence[Match], lexicon: Lexicon) -> list[Match]:
    """The matches that the rules add to those found as listed phrases.

    Args:
        words: The lemmas of a sentence, hyphens left out.
        found: All phrase matches, nested and overlapping ones too.
        lexicon: The phrases to look up.

    Returns:
        Further matches, in no special order; some may name a term that is there already.
    """
    matches = [m for m in found if _is_meant(m, found, lexicon)]
    added = [*_coordinated(words, lexicon), *_both_sides(words, lexicon)]
    added += _inverted(words, [*matches, *added], lexicon)
    added += _joined(words, [*matches, *added], lexicon)
    added += _sided(words, [*matches, *added], lexicon)
    return added


def says_more(match: Match, longer: Match, lexicon: Lexicon) -> bool:
    """Whether a match that shares words with a longer one is true beside it."""
    ontology = lexicon.ontology
    term, other = ontology[match.term], ontology[longer.term]
    if "none" in (term.kind, other.kind) or ontology.same_branch(term.name, other.name):
        return False
    if not longer.covers(match):
        return True
    if set(ontology.stated_labels(term.name)) & ontology.exclusions.get(other.name, frozenset()):
        return False
    siblings = set(term.parents) & set(other.parents)
    return "bodypart" not in (term.kind, other.kind) or term.kind != other.kind or bool(siblings)


def _is_meant(match: Match, found: Sequence[Match], lexicon: Lexicon) -> bool:
    """Whether no longer match gives its words another sense, as "splenic hilum" does to hilum."""
    return lexicon.is_label_like(match.term) and all(
        match.term == longer.term
        or match.term in lexicon.ontology.ancestors[longer.term]
        or says_more(match, longer, lexicon)
        for longer in found
        if longer.covers(match) and longer[:2] != match[:2]
    )


def _coordinated(words: Sequence[str], lexicon: Lexicon) -> Iterator[Match]:
    """Items between conjunctions that share the words before or after them."""
    known = [word in lexicon.vocabulary for word in words]
    for items in _chains(words):
        (_, first_end), (last_start, _) = items[0], items[-1]
        if not all(known[i] for a, b in items[1:-1] for i in range(a, b)):
            continue
        best: list[Match] = []
        for start in _while_known(range(first_end - 1, max(-1, first_end - 5), -1), known):
            for last in _while_known(range(last_start, min(len(words), last_start + 5)), known):
                span = [(start, first_end), *items[1:-1], (last_start, last + 1)]
                best = max(best, _distribute(words, span, lexicon), key=_covered)
        yield from best


def _while_known(places: Iterable[int], known: list[bool]) -> Iterator[int]:
    """Places up to the first word that no phrase has: nothing can reach over it."""
    return takewhile(known.__getitem__, places)


def _chains(words: Sequence[str]) -> Iterator[list[tuple[int, int]]]:
    """Runs of two to four items around conjunctions; the outer ends are still open."""
    stops = [i for i, word in enumerate(words) if word in CONJUNCTIONS and 0 < i < len(words) - 1]
    groups = [(i, i + 1) for i in stops]
    merged: list[tuple[int, int]] = []
    for begin, end in groups:
        if merged and merged[-1][1] == begin:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((begin, end))
    for first in range(len(merged)):
        for last in range(first, min(first + 3, len(merged))):
            inner = [(merged[k][1], merged[k + 1][0]) for k in range(first, last)]
            if all(0 < b - a <= 3 for a, b in inner):
                yield [(-1, merged[first][0]), *inner, (merged[last][1], len(words))]


def _distribute(
    words: Sequence[str], items: list[tuple[int, int]], lexicon: Lexicon
) -> list[Match]:
    """The best way to share a prefix of the first and a suffix of the last item among all."""
    (start, first_end), (last_start, end) = items[0], items[-1]
    best: list[Match] = []
    for prefix_end in range(start, first_end):
        for suffix_start in range(last_start + 1, end + 1):
            prefix, suffix = tuple(words[start:prefix_end]), tuple(words[suffix_start:end])
            if not prefix and not suffix:
                continue
            shared = _share(words, items, prefix, suffix, lexicon)
            best = max(best, shared, key=_covered)
    return best


def _share(
    words: Sequence[str],
    items: list[tuple[int, int]],
    prefix: Words,
    suffix: Words,
    lexicon: Lexicon,
) -> list[Match]:
    """Every item with prefix and suffix as a phrase; nothing unless all items are known.

    A side goes with sides only: "left and right base", but not "left, neck base".
    """
    matches: list[Match] = []
    gained, sides = False, 0
    for i, (a, b) in enumerate(items):
        core_start = a + len(prefix) if i == 0 else a
        core_end = b - len(suffix) if i == len(items) - 1 else b
        core = tuple(words[core_start:core_end])
        term = lexicon.phrases.get((*prefix, *core, *suffix))
        if term is not None and core:
            gained |= bool(prefix and i > 0) or bool(suffix and i < len(items) - 1)
            matches.append(Match(a, b, term, "coordination"))
            sides += len(core) == 1 and core[0] in SIDES
        elif core not in lexicon.phrases or prefix[:1] in (("left",), ("right",)):
            return []
    return matches if gained and sides in (0, len(items)) else []


def _covered(matches: list[Match]) -> tuple[int, int]:
    return len(matches), sum(m.end - m.start for m in matches)


def _both_sides(words: Sequence[str], lexicon: Lexicon) -> Iterator[Match]:
    """Left and right adrenal gland for "bilateral adrenal glands"."""
    for i, word in enumerate(words):
        if word not in _BOTH:
            continue
        begin = i + 1
        while begin < len(words) and words[begin] in _PREPOSITIONS:
            begin += 1
        for end in range(min(len(words), begin + 4), begin, -1):
            sided = [lexicon.phrases.get((side, *words[begin:end])) for side in SIDES]
            if all(sided):
                yield from (Match(begin, end, term, "both sides") for term in sided if term)
                break


def _inverted(words: Sequence[str], matches: Iterable[Match], lexicon: Lexicon) -> Iterator[Match]:
    """Look "head of the pancreas" up as "pancreas head" and "pancreatic head"."""
    for match in matches:
        of = match.start - 1
        while of > 0 and words[of] in {"the", "both", "left", "right", "a"}:
            of -= 1
        if of < 1 or words[of] not in {"of", "in", "within"}:
            continue
        for start in range(max(0, of - 3), of):
            head = tuple(words[start:of])
            terms = (lexicon.phrases.get((*w, *head)) for w in lexicon.spoken[match.term])
            if term := next((t for t in terms if t), None):
                yield Match(start, match.end, term, "inversion")
                break


def _joined(words: Sequence[str], matches: list[Match], lexicon: Lexicon) -> Iterator[Match]:
    """Two matches that make a third term together, with nothing but light words between."""
    covered = _cover(words, matches)
    for a in matches:
        for b in matches:
            term = lexicon.joined.get((a.term, b.term))
            if term is None:
                continue
            if a.end <= b.start and _may_join(words, a, b, matches, covered, lexicon):
                yield Match(a.start, b.end, term, "split")
            elif (
                b.end <= a.start
                and b.term in lexicon.ontology.ancestors[term]
                and _may_join_back(words, b, a, matches, covered, lexicon)
            ):
                yield Match(b.start, a.end, term, "split")


def _may_join(
    words: Sequence[str],
    modifier: Match,
    head: Match,
    matches: list[Match],
    covered: list[bool],
    lexicon: Lexicon,
) -> bool:
    """Modifier before head: "lobulated large right renal mass", "hilar mass or adenopathy"."""
    return _is_light(words, modifier.end, head.start, covered, CONJUNCTIONS) and not any(
        _is_other_place(m, modifier, lexicon)
        for m in matches
        if modifier.end <= m.start and m.end <= head.start
    )


def _may_join_back(
    words: Sequence[str],
    head: Match,
    modifier: Match,
    matches: list[Match],
    covered: list[bool],
    lexicon: Lexicon,
) -> bool:
    """Head before modifier: "node in the mediastinum", "nodule, left lower lobe, lung"."""
    return _is_light(words, head.end, modifier.start, covered, frozenset()) and not any(
        _is_other_place(m, modifier, lexicon)
        for m in matches
        if m.end == head.start or (head.end <= m.start and m.end <= modifier.start)
    )


def _is_other_place(match: Match, place: Match, lexicon: Lexicon) -> bool:
    """Whether a match is a body part on another branch than a place: the head's own place."""
    ontology = lexicon.ontology
    return (
        ontology[match.term].kind == "bodypart"
        and ontology[place.term].kind == "bodypart"
        and bool(ontology.exclusions.get(place.term, frozenset()) & ontology.expand([match.term]))
    )


def _sided(words: Sequence[str], matches: list[Match], lexicon: Lexicon) -> Iterator[Match]:
    """A side before a term, with nothing but light words between."""
    covered = _cover(words, matches)
    for match in matches:
        for i in range(match.start - 1, max(-1, match.start - _MAX_GAP), -1):
            if words[i] in SIDES:
                term = lexicon.sided.get((words[i], match.term))
                if term and _is_light(words, i + 1, match.start, covered, frozenset({"or"})):
                    rule = "synonym" if i + 1 == match.start and match.rule == "synonym" else "side"
                    yield Match(i, match.end, term, rule)
                break


def _cover(words: Sequence[str], matches: Iterable[Match]) -> list[bool]:
    covered = [False] * len(words)
    for match in matches:
        if match.rule == "synonym":
            covered[match.start : match.end] = [True] * (match.end - match.start)
    return covered


def _is_light(
    words: Sequence[str], start: int, end: int, covered: list[bool], also: frozenset[str]
) -> bool:
    return end - start <= _MAX_GAP and all(
        covered[i] or words[i] in LIGHT or words[i] in also or words[i][0].isdigit()
        for i in range(start, end)
    )
