import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.data.class_names import CRACK_NAMES, UNCRACKED_NAMES, ClassNames
from crackscope.errors import DataError

LABELLED = [("crack", name) for name in CRACK_NAMES] + [("uncracked", name) for name in UNCRACKED_NAMES]
KNOWN = ClassNames()

EQUAL = {
    "crack": ("crack", "Crack", "CRACKED", "cracks", "With Cracks", "with_crack", "Positives", "cd", "C.P."),
    "uncracked": (
        *("Uncracked", "un-cracked", "uncracks", "no crack", "No_Cracks", "nocracked", "non-crack", "NonCracked"),
        *("not-crack", "not cracked", "without cracks", "WithoutCrack", "crack free", "Intact", "NEGATIVE", "ud"),
    ),
}


@pytest.mark.parametrize(("label", "name"), [(label, name) for label, names in EQUAL.items() for name in names])
def test_equal_names_are_known(label: str, name: str) -> None:
    assert KNOWN.label_of(name) == label


@pytest.mark.parametrize("name", ["", " ", "0", "1", "spalling", "concrete_crack", "crack0", "ups", "cds", "good"])
def test_others_are_not(name: str) -> None:
    assert KNOWN.label_of(name) is None


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *(("crak", "crack"), ("craked", "crack"), ("carck", "crack"), ("crakc", "crack"), ("posotive", "crack")),
        *(
            ("uncraked", "uncracked"),
            ("nocrak", "uncracked"),
            ("non-crak", "uncracked"),
            ("negitive", "uncracked"),
            ("ncrack", "uncracked"),
        ),
        *((name, None) for name in ("concrete_crack", "crackno", "crack0", "crackfree?", "cracky", "ed")),
    ],
)
def test_a_slip_is_told(name: str, label: str | None) -> None:
    assert KNOWN.suggestion(name) == (f" Did you mean '{label}'?" if label else "")


@given(
    st.sampled_from(LABELLED),
    st.integers(0, 20),
    st.sampled_from(["drop", "double", "swap", "replace"]),
    st.characters(),
)
def test_a_slip_of_a_name_never_suggests_the_opposite(named: tuple[str, str], at: int, slip: str, other: str) -> None:
    label, name = named
    at %= len(name)
    letter, rest = name[at], name[at + 1 :]
    new = {"drop": "", "double": letter * 2, "swap": rest[:1] + letter, "replace": other}[slip]
    slipped = name[:at] + new + rest[slip == "swap" :]
    if len(name) > 2:  # of CD, CP and CW, one letter is half the name, and they are no slips of anything
        assert KNOWN.label_of(slipped) in (None, label)
    assert KNOWN.suggestion(slipped) in ("", f" Did you mean '{label}'?")


@given(
    st.sampled_from(["un", "no", "non", "not", "without", "free of", "zero", "n", "ohne", "kein"]),
    st.sampled_from("-_ ") | st.just(""),
    st.sampled_from(["crack", "cracks", "cracked", "crak", "positive"]),
    st.booleans(),
)
def test_a_negation_never_suggests_crack(negation: str, between: str, word: str, is_first: bool) -> None:
    name = between.join((negation, word) if is_first else (word, negation))
    assert KNOWN.label_of(name) in (None, "uncracked")
    assert "'crack'" not in KNOWN.suggestion(name)


@given(st.text(alphabet="abcdefgh wxyz_-", min_size=1), st.sampled_from(["crack", "cracked", "cracks", "Crack"]))
def test_a_kind_of_crack_never_suggests_uncracked(kind: str, word: str) -> None:
    assert "'uncracked'" not in KNOWN.suggestion(f"{kind}_{word}")


def test_names_of_the_users_own_go_first() -> None:
    own = ClassNames(crack=("Spalling", "negative"), uncracked=("0",))
    assert [own.label_of(name) for name in ("spalling", "NEGATIVE", "0", "intact")] == [
        *("crack", "crack", "uncracked", "uncracked"),
    ]


@pytest.mark.parametrize(
    ("crack", "uncracked", "told"),
    [(("a",), ("A",), "'a' is given for both labels"), ((" ",), (), "has no letters"), ((), ("",), "has no letters")],
)
def test_wrong_names_are_refused(crack: tuple[str, ...], uncracked: tuple[str, ...], told: str) -> None:
    with pytest.raises(DataError, match=told):
        ClassNames(crack, uncracked)
