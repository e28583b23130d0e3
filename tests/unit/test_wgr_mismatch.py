import pytest

from people import NOISE, SECTION, pairs, people_of, table_of, told
from tessera.wgr.people import join_people

FEW = "0 of its 30 individuals are among the 30 of g.fam (unmatched here: {}, and there: {}); {}."
GUESSES = {
    "FID 0 in the phenotypes": (
        ("0", "i{}"),
        ("f{}", "i{}"),
        "FID is 0 in p.txt, so write the FID of g.fam into p.txt",
    ),
    "FID 0 in the genotypes": (
        ("f{}", "i{}"),
        ("0", "i{}"),
        "FID is 0 in g.fam, so write the FID of g.fam into p.txt",
    ),
    "swapped": (
        ("i{}", "f{}"),
        ("f{}", "i{}"),
        "FID and IID are swapped in one of the two, so swap the columns in p.txt",
    ),
    "FID is IID here": (
        ("i{}", "i{}"),
        ("f{}", "i{}"),
        "FID equals IID in p.txt but not in g.fam, so write the FID of g.fam into p.txt",
    ),
    "FID is IID there": (
        ("f{}", "i{}"),
        ("i{}", "i{}"),
        "FID equals IID in g.fam but not in p.txt, so write the FID of g.fam into p.txt",
    ),
    "other FIDs": (
        ("f{}", "i{}"),
        ("g{}", "i{}"),
        "the IIDs agree but the FIDs do not, so write the FID of g.fam into p.txt",
    ),
    "joined there": (
        ("f{}", "i{}"),
        ("f{0}_i{0}", "f{0}_i{0}"),
        "the IID of g.fam is FID_IID of p.txt in one, so write the same in both",
    ),
    "joined here": (
        ("0", "f{0}_i{0}"),
        ("f{}", "i{}"),
        "the IID of p.txt is FID_IID of g.fam in one, so cut it into FID and IID",
    ),
    "prefix here": (
        ("sub-{}", "sub-{}"),
        ("{}", "{}"),
        "the IIDs of p.txt start with 'sub-', so write them alike in both",
    ),
    "prefix there": (
        ("{}", "{}"),
        ("{}", "S{}"),
        "the IIDs of g.fam start with 'S', so write them alike in both",
    ),
    "two prefixes": (
        ("1", "P{}"),
        ("{}", "S{}"),
        "the IIDs of p.txt start with 'P' and the IIDs of g.fam start with 'S', "
        "so write them alike in both",
    ),
    "zeros": (
        ("{:03}", "{:03}"),
        ("{}", "{}"),
        "the IIDs differ by leading zeros, so write them alike in both",
    ),
    "both": (
        ("{}", "{}"),
        ("sub-{:03}", "sub-{:03}"),
        "the IIDs of g.fam start with 'sub-' and the IIDs differ by leading zeros, "
        "so write them alike in both",
    ),
    "nothing": (("a{}", "x{}y"), ("b{}", "{}"), "make the ids alike"),
}


@pytest.mark.parametrize("case", GUESSES)
def test_ids_that_do_not_match_are_told_with_a_guess(write, case):
    here, there, guess = GUESSES[case]
    mine, theirs = pairs(30, *here), pairs(30, *there)
    write(p=table_of(mine, NOISE[0, :30]))
    shown = [", ".join(" ".join(w) for w in ids[:5]) for ids in (mine, theirs)]
    assert told({}, [("g.fam", people_of(theirs))]) == ["p.txt: " + FEW.format(*shown, guess)]


def test_a_guess_is_told_only_where_it_holds(write):
    # within families the IIDs are 1, 2, ...: they agree by chance
    mine = [(f"a{k // 3}", str(k % 3)) for k in range(30)]
    theirs = [(f"b{k // 3}", str(k % 3)) for k in range(30)]
    write(p=table_of(mine, NOISE[0, :30]))
    (message,) = told({}, [("g.fam", people_of(theirs))])
    assert message.endswith("; make the ids alike.")


def test_half_of_the_smaller_file_must_be_in_the_other(write):
    who = pairs(40)
    for n, ok in ((20, True), (19, False)):
        mine = [*who[:n], *pairs(40 - n, "x{}", "x{}")]
        write(p=table_of(mine, NOISE[0]))
        if ok:
            people = join_people(SECTION, [("g.fam", people_of(who))])
            assert len(people.ids) == 20
            assert (people.samples.status == "no phenotypes").sum() == 20
            assert (people.samples.status == "not in g.fam").sum() == 20
        else:
            (message,) = told({}, [("g.fam", people_of(who))])
            assert message.startswith("p.txt: 19 of its 40 individuals are among the 40 of g.fam")
            assert "(unmatched here: x0 x0, x1 x1, x2 x2, x3 x3, x4 x4, and there: f19 i19" in (
                message
            )
    # a part of a large study is analysed: all of the genotyped have phenotypes
    write(p=table_of(who, NOISE[0]))
    assert len(join_people(SECTION, [("g.fam", people_of(who[:12]))]).ids) == 12


def test_fewer_than_ten_people_are_told_with_what_was_lost(write):
    who = pairs(40)
    swapped = [w[::-1] for w in who]
    cells = [1.5] * 9 + [None] * 31
    write(
        p=table_of(who, NOISE[0]),
        c=table_of(who, cells, names=["C"]),
        s=table_of(swapped, NOISE[1]),
        keep="\n".join(" ".join(w) for w in swapped),
        few="\n".join(" ".join(w) for w in who[:9]),
    )
    files = [("1.fam", people_of(who)), ("2.fam", people_of(who))]
    assert told({"covariates": "c.txt"}, files) == [
        "c.txt: column C: 31 of 40 values are missing; "
        "leave the column out, since who has no value is not analysed."
    ]
    message = "0 of its 40 individuals are among the 40 of 1.fam"
    lines = told({"covariates": "s.txt", "keep": "keep.txt"}, files)
    assert [line.split(" (")[0] for line in lines] == [f"s.txt: {message}", f"keep.txt: {message}"]
    assert all("FID and IID are swapped" in line for line in lines)
    (line,) = told({}, [files[0], ("2.fam", people_of(swapped))])
    assert line.startswith(f"2.fam: {message}")
    assert told({"keep": "few.txt"}, files) == [
        "p.txt: 9 of 40 individuals have all that is needed (31 not in keep); "
        "at least 10 must, and half of the phenotyped or the genotyped ones."
    ]
    write(p=table_of(who[:12], NOISE[0, :12]), few="\n".join(" ".join(w) for w in who[:3]))
    assert told({"remove": "few.txt"}, files) == [
        "p.txt: 9 of 40 individuals have all that is needed (28 no phenotypes, 3 in remove); "
        "at least 10 must, and half of the phenotyped or the genotyped ones."
    ]


def test_a_list_that_removes_nobody_is_noted(write):
    who = pairs(20)
    write(p=table_of(who, NOISE[0, :20]), r="i1 f1\ni2 f2\n")
    people = join_people({**SECTION, "remove": "r.txt"}, [("g.fam", people_of(who))])
    assert len(people.ids) == 20
    assert people.notes == [
        "removes nobody: r.txt: 0 of its 2 individuals are among the 20 of g.fam (unmatched here: "
        "i1 f1, i2 f2, and there: f0 i0, f1 i1, f2 i2, f3 i3, f4 i4); FID and IID are swapped in "
        "one of the two, so swap the columns in r.txt."
    ]
