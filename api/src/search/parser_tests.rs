#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::super::{Filter, MAX_CHARS, Scope};
use super::*;
use crate::domain::Timestamp;

fn canonical(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn expressions_are_read() {
    for (text, wanted) in [
        ("", ""),
        ("  ", ""),
        ("cat", r#""cat""#),
        (r#""black cat""#, r#""black cat""#),
        ("a b", r#""a" AND "b""#),
        ("a AND b OR c", r#"("a" AND "b") OR "c""#),
        ("a OR b c", r#""a" OR ("b" AND "c")"#),
        ("a && b", r#""a" AND "b""#),
        ("a + b", r#""a" AND "b""#),
        ("+a +b", r#""a" AND "b""#),
        ("NOT a", r#"NOT "a""#),
        ("-a !b", r#"NOT "a" AND NOT "b""#),
        ("a -b", r#""a" AND NOT "b""#),
        ("a-b", r#""a-b""#),
        ("NOT(a OR b)", r#"NOT ("a" OR "b")"#),
        ("((a))", r#""a""#),
        ("tags:cat", r#"tags:"cat""#),
        ("tags = cat", r#"tags="cat""#),
        ("tags:(a OR b)", r#"tags:"a" OR tags:"b""#),
        ("tags=(a, AND -b*)", r#"tags="a," AND NOT tags="b*""#),
        ("x AND status:(active OR pending)", r#""x" AND (status:"active" OR status:"pending")"#),
        ("width>5", r#"width>"5""#),
        ("width:>=-5", r#"width>="-5""#),
        ("width:=5", r#"width="5""#),
        ("bytes:[1kb TO 2mb]", r#"bytes:["1kb" TO "2mb"]"#),
        ("bytes:{* TO -2}", r#"bytes:{* TO "-2"}"#),
        ("bytes:[1 TO *}", r#"bytes:["1" TO *}"#),
        ("folder:a/b/*", r#"folder:"a/b/*""#),
        (r#"folder:"a/b/*""#, r#"folder:"a/b/*""#),
        (r#"asset_folder:"*""#, r#"asset_folder:"*""#),
        ("asset_folder:*", r#"asset_folder:"*""#),
        (r"a\*b\ c", r#""a\*b c""#),
        (r#""a\*\"\\b\c""#, r#""a\*\"\\b\\c""#),
        (r"context.my\ key:v", r#"context.my\ key:"v""#),
        ("to TO", r#""to" AND "TO""#),
        ("tags:AND\\ ", r#"tags:"AND ""#),
        ("public_id:20260101_-x", r#"public_id:"20260101_-x""#),
        ("é猫", r#""é猫""#),
    ] {
        assert_eq!(canonical(text), wanted, "{text}");
        assert_eq!(parse(wanted).unwrap(), parse(text).unwrap(), "{text}");
    }
}

#[test]
fn errors_tell_the_place() {
    for (text, position) in [
        ("*", 1),
        ("*cat", 1),
        ("tags:*cat", 6),
        ("ca*t", 3),
        ("é* *", 4),
        (r#""*cat""#, 2),
        (r#""*""#, 1),
        (r#"tags:"abc"#, 6),
        ("(a", 3),
        ("a)", 2),
        ("()", 2),
        ("a AND", 6),
        ("AND a", 1),
        ("a OR OR b", 6),
        ("NOT", 4),
        ("tags:", 6),
        ("tags:(a", 8),
        ("tags:(a:b)", 8),
        ("width>(1 OR 2)", 7),
        ("width:[1 TO 2", 14),
        ("width:[1 2]", 10),
        ("width:[1 TO TO]", 13),
        ("width=[1 TO 2]", 7),
        ("width>5*", 7),
        ("a & b", 3),
        ("a^2", 2),
        ("a~", 2),
        ("a?", 2),
        ("a\"b\"", 2),
        (r#""a":b"#, 4),
        ("a*:b", 2),
        ("a\\", 2),
        ("\"\"", 1),
        ("ab\0c", 3),
        ("created_at>2025-01-01T00:00:00Z", 25),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(
            (error.position, error.to_string()),
            (position, format!("Query Error (at position {position})")),
            "{text}"
        );
    }
}

#[test]
fn limits_are_kept() {
    let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    assert_eq!(parse(&deep(MAX_DEPTH + 1)).unwrap_err().position, MAX_DEPTH + 1);
    assert!(parse(&format!("{}a", "-".repeat(MAX_DEPTH))).is_ok());
    assert_eq!(parse(&format!("{}a", "-".repeat(5000))).unwrap_err().position, MAX_DEPTH + 1);
    let wide = |count: usize| "a ".repeat(count);
    assert!(parse(&wide(MAX_TERMS)).is_ok());
    assert_eq!(parse(&wide(MAX_TERMS + 1)).unwrap_err().position, 2 * MAX_TERMS + 1);
    assert!(parse(&format!("tags:({})", wide(MAX_TERMS))).is_ok());
    assert!(parse(&format!("tags:({})", wide(MAX_TERMS + 1))).is_err());
    assert!(parse(&"é".repeat(MAX_CHARS)).is_ok());
    let error = parse(&"é".repeat(MAX_CHARS + 1)).unwrap_err();
    assert_eq!(error.position, MAX_CHARS + 1);
    assert!(error.to_string().starts_with("Query Error (at position 10001): "));
}

fn text() -> impl Strategy<Value = Text> {
    ("[a-zA-Z0-9 é猫\"*\\\\:()/+!&-]{1,12}|AND|TO|\\PC{1,6}", any::<bool>()).prop_map(|(value, prefix)| Text {
        value,
        prefix,
        position: Position(0),
    })
}

fn comparison_strategy() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual)
    ]
}

fn whole() -> impl Strategy<Value = Text> {
    text().prop_map(|text| Text { prefix: false, ..text })
}

fn field() -> impl Strategy<Value = Expression> {
    let test = prop_oneof![
        text().prop_map(Test::Has),
        text().prop_map(Test::Is),
        (comparison_strategy(), whole()).prop_map(|(comparison, text)| Test::Compare(comparison, text)),
        (prop::option::of(whole()), prop::option::of(whole()), any::<bool>(), any::<bool>()).prop_map(
            |(low, high, low_inclusive, high_inclusive)| Test::Range { low, high, low_inclusive, high_inclusive }
        ),
    ];
    ("[a-z_.]{1,8}|context\\.[a-z :*\"\\\\-]{1,6}|AND|TO|\\PC{1,4}", test)
        .prop_map(|(name, test)| Expression::Field(Field { name, test, position: Position(0) }))
}

fn expression() -> impl Strategy<Value = Expression> {
    prop_oneof![text().prop_map(Expression::Term), field()].prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

const SCOPE: Scope = Scope { now: Timestamp::from_unix_seconds(1_700_000_000), fixed_folders: true };

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(expression in expression()) {
        let text = expression.to_string();
        prop_assert_eq!(parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")), expression);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = parse(&text).map(|expression| Filter::new(&expression, SCOPE));
    }

    #[test]
    fn nothing_like_an_expression_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            "a", "tags", "width", "created_at", "context.x", "metadata.y", ":", "=", ">", "<=", "(", ")", "[", "]", "{",
            "}", " TO ", " AND ", " OR ", "NOT ", "-", "+", "!", "&&", "\"", "*", "\\", "5", "1kb", "2025-01-01", "1d", " ",
            "\0", "é", "folder", "status", "active",
        ]), 0..24)
    ) {
        let text = parts.concat();
        match parse(&text) {
            Ok(expression) => {
                let printed = expression.to_string();
                prop_assert_eq!(parse(&printed).unwrap(), expression.clone());
                if let Err(error) = Filter::new(&expression, SCOPE) {
                    prop_assert!(error.position >= 1 && error.position <= text.chars().count());
                }
            }
            Err(error) => prop_assert!(error.position >= 1 && error.position <= text.chars().count() + 1),
        }
    }
}
