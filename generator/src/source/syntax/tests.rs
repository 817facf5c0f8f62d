//! One mistake is told once, where it is.

use super::*;

/// The example of the repository, in which nothing is wrong.
const EXAMPLE: &str = include_str!("../../../../platform.toml");

/// Line, text at the place, and message of each mistake.
fn found(text: &str) -> Vec<(usize, &str, String)> {
    let line = |place: usize| text[..place].matches('\n').count() + 1;
    let mistakes = mistakes(text).into_iter();
    mistakes.map(|found| (line(found.span.start), &text[found.span], found.message)).collect()
}

#[track_caller]
fn expect(text: &str, expected: &[(usize, &str, &str)]) {
    let found = found(text);
    let found: Vec<_> = found.iter().map(|(line, place, message)| (*line, *place, message.as_str())).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn whatever_is_taken_out_of_a_sound_text_is_missed_in_its_line() {
    assert_eq!(found(EXAMPLE), []);
    let mut told = 0;
    for (at, taken) in EXAMPLE.match_indices(['[', ']', '{', '}', '"', '=']) {
        let text = format!("{}{}", &EXAMPLE[..at], &EXAMPLE[at + taken.len()..]);
        let line = text[..at].matches('\n').count() + 1;
        let mistakes = mistakes(&text);
        let mistake = match mistakes.as_slice() {
            // It stood in text or in a comment.
            [] => continue,
            [mistake] => mistake,
            _ => panic!("{line}: {taken}: {mistakes:?}"),
        };
        told += 1;
        let related = mistake.related.iter().map(|related| related.span.start);
        let places = std::iter::once(mistake.span.start).chain(related);
        let lines: Vec<usize> = places.map(|place| text[..place].matches('\n').count() + 1).collect();
        // What closes a list may have stood alone on a line.
        assert!(lines.iter().any(|told| (line - 1..=line).contains(told)), "{line}: {taken}: {mistake:?}");
    }
    assert!(told > 1_500, "{told}");
}

#[test]
fn what_is_not_closed_ends_before_the_next_expression() {
    let list = "this list is not closed";
    for next in [
        "",
        "\n",
        "\nb = 1",
        "\n\n# why\n[b]\nc = 1",
        "\n[[b]]",
        "\n[[b]]\n[c.\"d\"] # e\nf = [[1], [2]]",
        "\n\"b\".c = 1",
    ] {
        expect(&format!("a = [\"x\", \"y\"{next}"), &[(1, "[", list)]);
        expect(&format!("a = [\n  \"x\",\n  [\"y\"],\n{next}"), &[(1, "[", list)]);
        expect(&format!("a = {{ x = 1{next}"), &[(1, "{", "this inline table is not closed")]);
        expect(&format!("a = [{{ x = 1 }}, {{ x = 2 ]{next}"), &[(1, "{", "this inline table is not closed")]);
    }
    let both = mistakes("a = [{ x = 1 # y\nb = 2");
    assert_eq!(both[0].help.as_deref(), Some("add `}]` where the inline table ends"));
    assert_eq!(both[0].related[0].span, 12..12);
}

#[test]
fn what_looks_like_an_expression_may_be_a_part_of_one() {
    for text in [
        "a = [\n[1],\n[true]\n]",
        "a = [\n[x]\n]".replace('x', "1").as_str(),
        "a = [[\n[[1]]\n]]\nb = 1",
        "a = {\nb = 1,\nc = { d = 2 },\n\n# why\ne = [\n1\n],\n}",
        "a = \"\"\"\n[b]\nc = 1\n\"\"\"\nd = '''\n[e]\n'''",
        "a = [\n  \"b = 1\",\n  '[c]'\n]\r\n[d]\r\n",
        "\u{feff}a = 1",
    ] {
        expect(text, &[]);
    }
    expect("a = {\n  b = 1\n  c = 2\n}\nd = 1", &[(3, "", "missing comma between key-value pairs, expected `,`")]);
}

#[test]
fn each_mistake_is_told_and_no_guess() {
    expect(
        "a =\nb = [1\nc = 1\n[c\nd = \"x\ne = 1\nf 2\n[g]\nh = y\n",
        &[
            (1, "", "a value is missing"),
            (2, "[", "this list is not closed"),
            (4, "[c", "this header is not closed"),
            (5, "\"", "one `\"` of this line has no partner"),
            (7, "", "key with no value, expected `=`"),
            (9, "y", "this is no value"),
        ],
    );
    expect("a = b = 1 }", &[(1, "b", "a key stands where a value must be")]);
    // Lines that begin no expression belong to the mistake before them.
    expect("no\ntoml\n- at all\n: {\na = 1\n", &[(1, "", "key with no value, expected `=`")]);
    expect("a = \"\"\"\nb\n[c]\nd = 1", &[(1, "\"\"\"", "this text is not closed before the end of the file")]);
    expect("a = \"\\\\\"\nb = \"\\\"\n", &[(2, "\"", "one `\"` of this line has no partner")]);
}

#[test]
fn a_text_of_several_lines_without_its_end_is_told_where_it_begins() {
    let open = "this text is not closed before the next one begins";
    for quotes in ["\"\"\"", "'''"] {
        for lost in ["", &quotes[1..], "x"] {
            let text = format!(
                "a = {quotes}\nsome text{lost}\nb = 1\nc = {quotes}\nmore text\n{quotes}\nd = {quotes}e{quotes}\nf = \n[g]\n"
            );
            expect(&text, &[(1, quotes, open), (8, "", "a value is missing")]);
            let text = format!("a = {quotes}text{lost}\n[b]\nc = {quotes}more{quotes}\nd = 1\n");
            expect(&text, &[(1, quotes, open)]);
        }
        expect(&format!("a = {quotes}\nb = 1\n{quotes}\nc = y\n"), &[(4, "y", "this is no value")]);
        expect(&format!("a = {quotes}\nb = {quotes}\nc = 1\n"), &[]);
    }
}

#[test]
fn a_header_is_written_out() {
    for (header, whole) in [("[a.\"b c\"", "[a.\"b c\"]"), ("[[ a ] # b", "[[ a ]]"), ("[[a", "[[a]]")] {
        let mistakes = mistakes(&format!("{header}\nb = 1"));
        assert_eq!(mistakes[0].replacement.as_deref(), Some(whole));
    }
}

#[test]
fn what_stands_twice_is_told_with_the_first() {
    let told = |text: &str| {
        let (_, errors) = DeTable::parse_recoverable(text);
        let found = doubles(&errors, text).remove(0);
        (found.span.start, found.related.first().map(|first| first.span.start), found.message)
    };
    let message = |text: &str| format!("`{text}` is defined twice");
    assert_eq!(told("[a.b]\n[c]\n[a.b]\n"), (13, Some(1), message("a.b")));
    assert_eq!(told("[[a]]\n[a.b]\n[[a]]\n[a.b]\n[a.b]\n"), (27, Some(19), message("a.b")));
    assert_eq!(told("a = 1\n[b]\na = 1\na = 2\n"), (16, Some(10), "`a` is given twice".to_owned()));
    assert_eq!(told("[a]\n[[a]]\n"), (6, Some(1), "`a` is both one table and a list of tables".to_owned()));
    assert_eq!(told("a = {}\n[a]\n"), (8, Some(0), message("a")));
}
