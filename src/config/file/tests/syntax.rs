//! References, bounds and broken text: what becomes of YAML.

use super::*;

#[test]
fn references_are_replaced_as_every_row_of_the_specification_says() {
    let text = |text: &str| Value::Text(text.to_owned());
    let source = table_source();
    for (input, expected) in [
        ("${STRING_VALUE}", text("value")),
        ("${BOOL_VALUE}", Value::Bool(true)),
        ("${INT_VALUE}", Value::Int(1)),
        ("${FLOAT_VALUE}", Value::Float(1.1)),
        ("${HEX_VALUE}", Value::Int(3_735_928_559)),
        ("\"${STRING_VALUE}\"", text("value")),
        ("\"${BOOL_VALUE}\"", text("true")),
        ("\"${INT_VALUE}\"", text("1")),
        ("\"${FLOAT_VALUE}\"", text("1.1")),
        ("\"${HEX_VALUE}\"", text("0xdeadbeef")),
        ("${env:STRING_VALUE}", text("value")),
        ("${INVALID_MAP_VALUE}", text("value\nkey:value")),
        ("foo ${STRING_VALUE} ${FLOAT_VALUE}", text("foo value 1.1")),
        ("${UNDEFINED_KEY}", Value::Null),
        ("${UNDEFINED_KEY:-fallback}", text("fallback")),
        ("${REPLACE_ME}", text("${DO_NOT_REPLACE_ME}")),
        ("${UNDEFINED_KEY:-${STRING_VALUE}}", text("${STRING_VALUE}")),
        ("$${STRING_VALUE}", text("${STRING_VALUE}")),
        ("$$${STRING_VALUE}", text("$value")),
        ("$$$${STRING_VALUE}", text("$${STRING_VALUE}")),
        ("$${STRING_VALUE:-fallback}", text("${STRING_VALUE:-fallback}")),
        ("$${STRING_VALUE:-${STRING_VALUE}}", text("${STRING_VALUE:-value}")),
        ("${UNDEFINED_KEY:-$${UNDEFINED_KEY}}", text("${UNDEFINED_KEY:-${UNDEFINED_KEY}}")),
        ("${VALUE_WITH_ESCAPE}", text("value$$")),
        ("a $$ b", text("a $ b")),
        ("a $ b", text("a $ b")),
        // beside the table: the default counts for an empty variable, and a block scalar is text
        ("${STRING_VALUE:-fallback}", text("value")),
        ("|-\n  ${INT_VALUE}", text("1")),
        ("!!str ${INT_VALUE}", text("1")),
        ("${UNDEFINED_KEY:-}", Value::Null),
        ("a${}b${STRING_VALUE} ${STRING_VALUE", text("a${}bvalue ${STRING_VALUE")),
    ] {
        let tree = yaml::read(&format!("key: {input}"), &source).unwrap();
        assert_eq!(tree.get("key").map(|node| &node.value), Some(&expected), "{input}");
    }
    // a brace of a reference ends no flow collection, and others do
    let items = |text: &str| yaml::read(text, &source).map(|tree| tree.get("a").unwrap().items().to_vec());
    let values = |text: &str| items(text).unwrap().into_iter().map(|node| node.value).collect::<Vec<_>>();
    assert_eq!(values("a: [${INT_VALUE}, \"${INT_VALUE}\", x]"), [Value::Int(1), text("1"), text("x")]);
    assert_eq!(values("a: [$${A}, ${B:-${C}}, ${UNDEFINED:-f}]"), [text("${A}"), text("${C}"), text("f")]);
    let nested = yaml::read("a: {b: ${INT_VALUE}, c: {d: ${UNDEFINED:-x}}}", &source).unwrap();
    let d = nested.get("a").and_then(|a| a.get("c")).and_then(|c| c.get("d")).map(|d| &d.value);
    assert_eq!(d, Some(&text("x")));
    assert_eq!(values("a: [\"${B\", {c: d}, \"}\"]").len(), 3, "what is YAML as it is stays that");
    assert!(items("a: [${1A}, x]").unwrap_err()[0].what.contains("is no reference"));
    assert!(items("a: [${A}").unwrap_err()[0].what.contains("no YAML"));
    let keys = yaml::read("${STRING_VALUE}: value", &source).unwrap();
    assert_eq!(keys.entries()[0].0, "${STRING_VALUE}");
    for input in ["${STRING_VALUE:?error}", "${1API_KEY}", "${API_$KEY}", "${ STRING_VALUE}", "${sys:name}"] {
        let problems = yaml::read(&format!("a: 1\nkey: {input}\nother: ${{2}}"), &source).unwrap_err();
        // every one of them, and nothing else
        assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2, 3], "{input}");
    }
}

#[test]
fn the_tree_is_bounded_whatever_aliases_repeat() {
    let read = |text: &str| yaml::read(text, &Source::from_pairs(Vec::<(String, String)>::new()));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
    }
    assert!(read(&bomb).unwrap_err()[0].what.contains("too much"));
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(60)).is_ok());
    assert!(read(&deep(100)).unwrap_err()[0].what.contains("levels"));
    assert!(read(&"- ".repeat(30_000)).is_err());
    assert!(read("a: &a [*a]").is_err(), "an alias of itself");
    // in time that grows with the text, and no faster
    assert!(read(&format!("a: {}", "${".repeat(400_000))).is_ok());
    let copied: Node = read("base: &base {x: 1}\nother: *base").unwrap();
    assert_eq!(copied.get("other"), copied.get("base"));
    for (text, expected) in [
        ("a: 1\na: 2", "twice"),
        ("a: 1\n---\nb: 2", "second document"),
        ("", "empty"),
        ("{[a]: b}", "key"),
        ("a: !secret x", "tag"),
        ("a: !!int x", "tag"),
        ("a: [", "no YAML"),
    ] {
        let problems = read(text).unwrap_err();
        assert!(problems[0].what.contains(expected), "{text}: {problems:?}");
    }
}

/// Small mistakes in the making of a file, by a generator that always makes the same ones.
fn mangled(text: &str, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap_or(0)
    };
    let pieces = [
        "\n",
        " ",
        ":",
        "- ",
        "${",
        "}",
        "$$",
        "[",
        "]",
        "{",
        "*a ",
        "&a ",
        "\"",
        "'",
        "null",
        "-1",
        "1e999",
        "0x",
        "!!str ",
        "|\n",
        "é\u{0}\u{feff}",
        "\t",
        "? ",
        "# ",
        "---\n",
        "%YAML 1.2\n",
        "<<: *a\n",
        "99999999999999999999",
    ];
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=next(6) {
        let at = next(text.len());
        match next(4) {
            0 => drop(text.drain(at..(at + next(40)).min(text.len()))),
            1 => {
                let piece: Vec<char> = pieces[next(pieces.len())].chars().collect();
                text.splice(at..at, piece);
            }
            2 => {
                let from = next(text.len());
                let part: Vec<char> = text[from..(from + next(200)).min(text.len())].to_vec();
                text.splice(at..at, part);
            }
            _ => {
                if let Some(c) = text.get_mut(at) {
                    *c = char::from(32 + u8::try_from(next(95)).unwrap_or(0));
                }
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn a_mangled_file_never_panics_and_never_is_silent_about_what_it_lost() {
    let whole = include_str!("../../../../tests/config_file/everything.yaml");
    let source = table_source();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..1500 {
        let text = mangled(whole, seed);
        match yaml::read(&text, &source) {
            Err(problems) => {
                refused += 1;
                assert!(problems.iter().all(|problem| !problem.what.is_empty()), "seed {seed}");
            }
            Ok(_) if seed % 10 == 0 => {
                read += 1;
                let (_, mistakes) = load(&text);
                for mistake in &mistakes {
                    assert!(
                        !mistake.variable.is_empty() && !mistake.problem.is_empty(),
                        "seed {seed}: {mistake:?}"
                    );
                    assert!(!mistake.to_string().contains('\n'), "seed {seed}: {mistake}");
                }
            }
            Ok(_) => {}
        }
    }
    assert!(read > 20 && refused > 100, "{read} {refused}");
}
