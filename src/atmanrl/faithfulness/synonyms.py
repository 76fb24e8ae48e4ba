"""Words and phrases that can stand for one another in worked solutions, and in the filler of the task `chains`."""

import re

_TIMES = r"(?:second|minute|hour|day|night|morning|week|weekend|month|year|time|person|student|child)"
_AMOUNT = r"(?:\$|€|£|[0-9.]|(?:an?|another|two|three|four|five|six|seven|eight|nine|ten)\b)"

# (pattern, what may stand for it). Patterns keep to contexts in which both mean the same: "so" that draws a conclusion,
# not "so far"; "gets 5", not "gets up". The earlier of two that overlap counts.
_TABLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    # chains
    (r"think about it", ("consider it",)),
    (r"seems right so far", ("looks right so far", "seems correct so far")),
    (r"look at the next part", ("turn to the next part", "consider the next part")),
    (r"a nice story", ("a pleasant story",)),
    (r"okay(?=, )", ("alright",)),
    (r"should be careful here", ("should take care here",)),
    (r"good to go slowly", ("good to proceed slowly", "good to take things slowly")),
    (r"very pretty", ("very lovely", "really pretty")),
    (r"is happy with", ("is pleased with",)),
    (r"like to count", ("enjoy counting",)),
    (r"we can go on(?=\.)", ("we can continue", "we can carry on")),
    (r"is more to read", ("is still more to read",)),
    # conclusions
    (r"(?:(?<=\A)|(?<=\n)|(?<=[.!?,;] ))so(?=,? (?!far\b|that\b|many\b|much\b|long\b|as\b)[a-z0-9$])", ("thus",)),
    (r"thus(?=,? [a-z0-9$])", ("therefore",)),
    (r"therefore", ("hence", "thus")),
    (r"hence(?=, )", ("therefore",)),
    (r"because(?! of)", ("since",)),
    (r"however(?=,)", ("nevertheless",)),
    (r"finally(?=,)", ("lastly",)),
    (r"in total", ("altogether",)),
    (r"altogether", ("in total",)),
    # verbs
    (r"buys", ("purchases",)),
    (r"bought", ("purchased",)),
    (r"purchased", ("bought",)),
    (r"gets(?= " + _AMOUNT + ")", ("receives",)),
    (r"receives", ("gets",)),
    (r"received", ("got",)),
    (r"needs(?! (?:to|be)\b)", ("requires",)),
    (r"requires", ("needs",)),
    (r"begins", ("starts",)),
    (r"begin", ("start",)),
    (r"began", ("started",)),
    (r"starts(?= (?:with|out|at|off)\b)", ("begins",)),
    (r"earns(?= " + _AMOUNT + ")", ("makes",)),
    (r"earned(?= " + _AMOUNT + ")", ("made",)),
    (r"calculate", ("compute", "work out")),
    (r"determine", ("work out",)),
    (r"find out", ("work out",)),
    (r"equals(?= [$0-9])", ("is equal to",)),
    # others
    (r"each(?= " + _TIMES + r"\b)", ("every",)),
    (r"every(?= " + _TIMES + r"\b)", ("each",)),
    (r"big", ("large",)),
    (r"bigger", ("larger",)),
    (r"larger", ("bigger",)),
    (r"extra", ("additional",)),
    (r"additional", ("extra",)),
    (r"children", ("kids",)),
    (r"kids", ("children",)),
    (r"entire", ("whole",)),
    (r"initially", ("at first",)),
    (r"about(?= \$?[0-9])", ("approximately",)),
    (r"approximately", ("about",)),
)

SYNONYMS = tuple((re.compile(rf"(?<![\w-]){pattern}(?![\w-])", re.IGNORECASE), others) for pattern, others in _TABLE)
"""Patterns, each with what may stand for a match."""
